// The page: takes a text or a file, shows the answer, or goes on writing.

import { readsSound, readsText, rowsOf, samplesOf } from "./codecs.js";
import { Model, Stream, shares } from "./model.js";

const $ = (id) => document.getElementById(id);
const model = await Model.load();
const { told } = model;
const writes = told.task.kind === "generate";
window.unrolled = { model, Stream, shares, samplesOf, rowsOf, valueOf };

document.title = told.name;
$("name").textContent = told.name;
$("about").textContent = writes
  ? "Goes on with your text. Everything runs in this page; nothing is sent anywhere."
  : `Reads ${told.task.inputs.join(", ")}, answers ${told.task.targets.join(", ")}. Nothing is sent anywhere.`;
$("ask").textContent = writes ? "Go on" : "Answer";
$("options").hidden = !writes;
$("text").hidden = readsSound(told.codec.kind);
$("file").accept = readsSound(told.codec.kind) ? ".wav" : ".txt,.abc,.csv,.json";
if (writes) {
  $("length").value = told.sampling.length;
  $("temperature").value = told.sampling.temperature;
  $("text").value = told.codec.kind === "abc" ? "X:1\n" : "";
}

// A row's column that the model reads; of numbered columns those of its name, or else of the most frequent, in order.
function valueOf(row) {
  const [name] = told.task.inputs;
  if (name in row) return row[name];
  const stems = {};
  for (const key of Object.keys(row).filter((one) => /\d$/.test(one))) (stems[key.match(/^\D*/)[0]] ??= []).push(key);
  const rank = (stem) => (stem.replace(/^[ _.-]+|[ _.-]+$/g, "") === name ? 1e9 : 0) + stems[stem].length;
  const best = Object.keys(stems).sort((a, b) => rank(b) - rank(a))[0];
  if (best === undefined) throw new Error(`no column ${name}; there are ${Object.keys(row).join(", ")}`);
  const numbers = (key) => key.match(/\d+/g).map(Number);
  const after = (a, b) => a.map((number, at) => number - b[at]).find((gap) => gap) ?? 0;
  return stems[best].sort((a, b) => after(numbers(a), numbers(b))).map((key) => row[key]);
}

async function values() {
  const [file] = $("file").files;
  if (!file && readsSound(told.codec.kind)) throw new Error("Choose a WAV file first.");
  if (!file) return [$("text").value];
  if (readsSound(told.codec.kind)) return [samplesOf(await file.arrayBuffer())];
  const text = await file.text();
  if (file.name.endsWith(".csv")) return rowsOf(text).map(valueOf);
  if (file.name.endsWith(".json")) return [JSON.parse(text)].flat().map(valueOf);
  return [text];
}

function line(row) {
  const box = document.createElement("div");
  box.className = "row";
  for (const [name, value] of Object.entries(row)) {
    const chance = /^p\(.*\)$/.test(name);
    const part = document.createElement(chance ? "label" : "strong");
    part.textContent = chance ? `${name.slice(2, -1)} ${(100 * value).toFixed(1)} %` : `${name}: ${value}`;
    if (chance) part.append(Object.assign(document.createElement("meter"), { value, max: 1 }));
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
$("ask").disabled = !(readsText(told.codec.kind) || model.encode);
document.body.dataset.ready = "yes";
