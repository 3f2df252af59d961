// The exported model in ONNX Runtime: raw values to steps, steps to answers, a stream with its state kept.

import { codecOf } from "./columns.js";
import { ort } from "./runtime.js";

const ARRAYS = { int64: BigInt64Array, float32: Float32Array, float64: Float64Array, bool: Uint8Array };
const sizeOf = (dims) => dims.reduce((a, b) => a * b, 1);

function tensor(dtype, values, dims) {
  const data = dtype === "int64" ? BigInt64Array.from(values, BigInt) : ARRAYS[dtype].from(values);
  return new ort.Tensor(dtype, data, dims);
}

export class Model {
  static async load() {
    const model = new Model();
    model.told = await (await fetch("model.json")).json();
    const sessions = {};
    for (const name of model.told.files.filter((one) => one.endsWith(".onnx"))) {
      sessions[name] = await ort.InferenceSession.create(name, { executionProviders: ["wasm"] });
    }
    [model.step, model.sequence] = [sessions["step.onnx"], sessions["sequence.onnx"]];
    model.codec = codecOf(model.told, sessions);
    return model;
  }

  raw({ values, width }, dims) {
    return tensor(this.told.input.dtype, values, width ? [...dims, width] : dims);
  }

  // What is said after each step: an array of arrays.
  async answers(steps) {
    if (!this.sequence) {
      const stream = new Stream(this);
      const said = [];
      for (let t = 0; t < steps.steps; t++) said.push(await stream.push(at(steps, t)));
      return said;
    }
    const { answer } = await this.sequence.run({ raw: this.raw(steps, [1, steps.steps]) });
    const size = answer.dims[2];
    return Array.from({ length: steps.steps }, (_, t) => Array.from(answer.data.slice(t * size, (t + 1) * size)));
  }

  // The answer to one raw value, as the package's `predict` shows it: of nothing it is empty.
  async predict(value) {
    const steps = (value ?? null) === null ? { steps: 0 } : await this.codec.encode(value);
    if (!steps.steps) return Object.fromEntries(this.told.task.targets.map((name) => [name, ""]));
    return shown(this.told, await this.answers(steps));
  }

  // Goes on with a text: yields it as it is written.
  async *write(prompt, { length, temperature, seed = 0 }) {
    const stream = new Stream(this);
    const random = noise(seed);
    let said;
    for (const id of [0, ...this.codec.text.encode(prompt)]) said = await stream.push({ values: [id], width: 0 });
    const ids = [];
    for (let number = 0; number < length; number++) {
      const id = drawn(said, temperature, random());
      if (id === 0) return;
      ids.push(id);
      const text = this.codec.text.decode(ids);
      if (!text.endsWith("\ufffd")) yield text;
      if (number < length - 1) said = await stream.push({ values: [id], width: 0 });
    }
  }
}

const at = ({ values, width }, t) => ({
  values: width ? values.slice(t * width, (t + 1) * width) : [values[t]],
  width,
});

export class Stream {
  constructor(model) {
    if (!model.step) throw new Error("this model sees a sequence as a whole: it has no steps");
    this.model = model;
    this.reset();
  }

  reset() {
    this.used = 0;
    this.recent = [];
    this.state = {};
    for (const leaf of this.model.told.states) {
      const dims = leaf.shape.map((size) => ({ batch: 1, "capacity + 1": 33 })[size] ?? size);
      this.state[leaf.before] = begun(leaf, dims);
    }
  }

  // One step, {values, width} -> the answer so far.
  async push(step) {
    const { told } = this.model;
    if (told.context) {
      if (this.used === told.context) {
        const again = [...this.recent, step].slice(-Math.max(1, Math.floor(told.context / 2)));
        this.reset();
        let said;
        for (const each of again) said = await this.push(each);
        return said;
      }
      this.recent.push(step);
    }
    this.used += 1;
    for (const leaf of told.states) {
      const held = this.state[leaf.before];
      if (leaf.shape.includes("capacity + 1") && this.used >= held.dims[2]) this.state[leaf.before] = longer(held);
    }
    const out = await this.model.step.run({ raw: this.model.raw(step, [1]), ...this.state });
    for (const leaf of told.states) this.state[leaf.before] = out[leaf.after];
    return Array.from(out.answer.data);
  }
}

function begun(leaf, dims) {
  const size = sizeOf(dims);
  if (typeof leaf.start !== "object") return tensor(leaf.dtype, new Array(size).fill(leaf.start), dims);
  const bytes = Uint8Array.from(atob(leaf.start.base64), (letter) => letter.charCodeAt(0));
  return new ort.Tensor(leaf.dtype, new ARRAYS[leaf.dtype](bytes.buffer), dims);
}

// Slots (1, H, S, D) of twice the length.
function longer(held) {
  const [rows, heads, slots, size] = held.dims;
  const data = new held.data.constructor(2 * held.data.length);
  for (let head = 0; head < rows * heads; head++) {
    data.set(held.data.subarray(head * slots * size, (head + 1) * slots * size), 2 * head * slots * size);
  }
  return new ort.Tensor(held.type, data, [rows, heads, 2 * slots, size]);
}

const highest = (values) => values.reduce((best, value, i) => (value > values[best] ? i : best), 0);

export function shares(logits, temperature = 1) {
  const top = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp((logit - top) / temperature));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

function drawn(logits, temperature, uniform) {
  if (temperature < 1e-6) return highest(logits);
  let left = uniform;
  const chances = shares(logits, temperature);
  for (let id = 0; id < chances.length; id++) {
    left -= chances[id];
    if (left < 0) return id;
  }
  return highest(logits);
}

// Uniform numbers from a seed (mulberry32).
function noise(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shown(told, answers) {
  const { task, labels } = told;
  const last = answers[answers.length - 1];
  const target = task.targets.join(", ");
  if (task.kind === "regress") return Object.fromEntries(labels.map((name, i) => [name, last[i]]));
  if (task.kind === "tag") {
    const sure = Math.min(...answers.map((step) => Math.max(...step)));
    return { [target]: answers.map((step) => labels[highest(step)]).join(" "), "least sure": sure };
  }
  const chances = Object.fromEntries(labels.map((name, i) => [`p(${name})`, last[i]]));
  const limit = typeof task.threshold === "number" ? task.threshold : null;
  if (task.kind === "classify_several") {
    const held = labels.filter((_, i) => last[i] >= (limit ?? 0.5));
    return { [target]: held.join(told.separator), ...chances };
  }
  const said = limit === null ? highest(last) : last[told.rarer] >= limit ? told.rarer : 1 - told.rarer;
  return { [target]: labels[said], ...chances };
}
