// The page: takes a text or a file, shows the answer, or goes on writing.

import { readsSound, readsText, samplesOf } from "./codecs.js";
import { Model, Stream, shares } from "./model.js";
import { gathered, objectsOf, rowsOf, valueOf } from "./rows.js";

const $ = (id) => document.getElementById(id);
const model = await Model.load().catch((error) => {
  $("state").textContent = `not loaded: ${error.message}`;
  throw error;
});
const { told } = model;
const writes = told.task.kind === "generate";
const several = told.codec.kind === "together";
window.unrolled = { model, Stream, shares, samplesOf, tableOf };

document.title = told.name;
$("name").textContent = told.name;
$("about").textContent = writes
  ? "Goes on with your text."
  : `Reads ${told.task.inputs.join(", ")} and answers ${told.task.targets.join(", ")}.`;
$("hint").textContent = hint();
$("or").textContent = readsSound(told.codec.kind) ? "a WAV file" : "or a file";
$("ask").textContent = writes ? "Go on" : "Answer";
$("options").hidden = !writes;
$("or").parentElement.hidden = writes;
$("text").hidden = several || readsSound(told.codec.kind);
$("fields").hidden = !several;
$("fields").append(...(several ? told.task.inputs.map(field) : []));
$("file").accept = readsSound(told.codec.kind) ? ".wav" : ".txt,.abc,.csv,.tsv,.json,.jsonl";
if (writes) {
  $("length").value = told.sampling.length;
  $("temperature").value = told.sampling.temperature;
  $("text").value = told.codec.kind === "abc" ? "X:1\n" : "The ";
}
if (told.example) show(told.example);

// What the model takes, in words.
function hint() {
  const { kind } = told.codec;
  const shown = told.example ? "An example from the data stands there. " : "";
  const rows = `a .csv, .json or .jsonl file with ${told.task.inputs ? `the column ${told.task.inputs[0]}` : "texts"}`;
  if (writes) return kind === "abc" ? "The beginning of a tune in ABC notation." : "The beginning of a text, or nothing.";
  if (readsSound(kind)) return `A WAV file of ${told.codec.rate} samples a second.`;
  if (several) return `${shown}A field left empty is a missing value. A file is a table with these columns (.csv, .json, .jsonl).`;
  if (readsText(kind)) return `${shown}One text, or ${rows}.`;
  return `${shown}Numbers with spaces between, or lists as JSON: [[1, 2], [3, 4]] is two steps of two channels; or ${rows}.`;
}

// Puts a row into the fields.
function show(row) {
  const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  if (!several) $("text").value = text(row[told.task.inputs[0]]);
  else for (const box of $("fields").querySelectorAll("[name]")) box.value = text(row[box.name]);
}

// A place to type one of several columns: a line for a number or a category, more for a text or a series.
function field(name) {
  const { codec, each } = told.codec.fields.find((one) => one.name === name);
  const label = document.createElement("label");
  const box = document.createElement(each ? "textarea" : "input");
  box.name = name;
  if (each) box.rows = 2;
  if (!each && !codec.names) box.inputMode = "decimal";
  label.append(name, box);
  if (!each && codec.names) {
    const list = document.createElement("datalist");
    list.id = `of ${name}`.replaceAll(" ", "-");
    list.append(...codec.names.map((value) => Object.assign(document.createElement("option"), { value })));
    box.setAttribute("list", list.id);
    label.append(list);
  }
  return label;
}

// The values of a table's rows, by the name of its file.
function tableOf(name, text) {
  const suffix = name.split(".").pop().toLowerCase();
  const rows = suffix.startsWith("json") ? objectsOf(text, suffix === "jsonl") : rowsOf(text);
  return gathered(rows, told.task.long).map((row) => valueOf(row, told.task.inputs));
}

async function values() {
  const [file] = $("file").files;
  const sound = readsSound(told.codec.kind);
  if (!file && sound) throw new Error("Choose a WAV file first.");
  if (!file && several) return [Object.fromEntries(Array.from(new FormData($("form")), ([name, value]) => [name, value || null]))];
  if (!file) return [typed($("text").value)];
  if (sound) return [samplesOf(await file.arrayBuffer())];
  const text = await file.text();
  return /\.(csv|tsv|jsonl?)$/i.test(file.name) ? tableOf(file.name, text) : [text];
}

// A JSON object that holds the column is a row; anything else is what the model reads.
function typed(text) {
  const row = text.startsWith("{") ? parsed(text) : null;
  return row && told.task.inputs[0] in row ? row[told.task.inputs[0]] : text;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function line(row) {
  const box = document.createElement("div");
  box.className = "row";
  for (const [name, value] of Object.entries(row)) {
    const chance = /^p\(.*\)$/.test(name);
    const part = document.createElement(chance ? "label" : "strong");
    if (chance) {
      const words = [name.slice(2, -1), `${(100 * value).toFixed(1)} %`];
      part.append(...words.map((text) => Object.assign(document.createElement("span"), { textContent: text })));
      part.append(Object.assign(document.createElement("meter"), { value, max: 1 }));
    } else part.textContent = `${name}: ${value === "" ? "nothing to read" : value}`;
    box.append(part);
  }
  return box;
}

async function write() {
  const prompt = $("text").value;
  const asked = { length: Number($("length").value), temperature: Number($("temperature").value), seed: Date.now() };
  const out = document.createElement("pre");
  $("answer").replaceChildren(out);
  for await (const text of model.write(prompt, asked)) {
    out.textContent = prompt + text;
    await new Promise(requestAnimationFrame);
  }
}

async function answer() {
  $("answer").replaceChildren();
  for (const value of await values()) $("answer").append(line(await model.predict(value)));
}

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("ask").disabled = true;
  try {
    await (writes ? write() : answer());
  } catch (error) {
    $("answer").textContent = error.message;
  } finally {
    $("ask").disabled = false;
  }
});
$("ask").disabled = false;
$("state").textContent = "ready";
document.body.dataset.ready = "yes";
