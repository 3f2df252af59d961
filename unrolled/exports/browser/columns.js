// What people have -> a model's steps, {values, width, steps}; width 0: ids. One column, or several of a row together.

import { readsSound, readsText, textCodec } from "./codecs.js";
import { ort } from "./runtime.js";

export function codecOf(told, sessions) {
  return told.codec.kind === "together" ? new Columns(told, sessions) : new Column(told, sessions["encode.onnx"]);
}

class Column {
  constructor(told, graph) {
    this.told = told.codec;
    this.graph = graph;
    this.text = readsText(told.codec.kind) ? textCodec(told) : null;
  }

  async encode(value) {
    if (this.text) {
      const values = this.text.encode(value);
      return { values, width: 0, steps: values.length };
    }
    const { raw } = await this.graph.run({ value: readsSound(this.told.kind) ? this.samples(value) : this.numbers(value) });
    return { values: raw.data, width: raw.dims[1], steps: raw.dims[0] };
  }

  samples({ samples, rate }) {
    if (rate !== this.told.rate) throw new Error(`a sound at ${rate} Hz; this model hears ${this.told.rate} Hz`);
    return new ort.Tensor("float64", Float64Array.from(samples), [samples.length]);
  }

  // A number, nested lists of them, JSON, or a text with spaces between them.
  numbers(value) {
    const text = typeof value === "string" ? value.trim() : null;
    const read = text === null ? value : text.startsWith("[") ? JSON.parse(text) : text.split(/\s+/);
    const flat = Float64Array.from([read].flat(Infinity), number);
    const dims = this.graph.inputMetadata[0].shape.map((size) => (typeof size === "number" ? size : -1));
    const known = dims.filter((size) => size > 0).reduce((a, b) => a * b, 1);
    return new ort.Tensor("float64", flat, dims.map((size) => (size > 0 ? size : flat.length / known)));
  }
}

// A missing one is NaN.
function number(each) {
  const missing = each === null || String(each).trim() === "" || String(each).trim().toLowerCase() === "nan";
  if (!missing && Number.isNaN(Number(each))) throw new Error(`${each} is no number`);
  return missing ? NaN : Number(each);
}

// A row's columns side by side, or one after the other; what says one thing of the whole row stands at every step.
class Columns {
  constructor(told, sessions) {
    this.aligned = told.codec.aligned;
    this.width = told.columns.reduce((a, b) => a + b, 0);
    this.fields = told.codec.fields.map(({ name, codec, each }, at) => {
      return { name, each, width: told.columns[at], codec: new Column({ ...told, codec }, sessions[`encode-${at}.onnx`]) };
    });
  }

  async encode(row) {
    const none = { values: [], width: this.width, steps: 0 };
    if (this.fields.every(({ name }) => (row[name] ?? null) === null)) return none;
    const parts = [];
    for (const { name, each, codec } of this.fields) {
      const value = row[name] ?? null;
      parts.push(value === null && each ? none : await codec.encode(value));
    }
    const lengths = parts.filter((_, at) => this.fields[at].each).map((part) => part.steps);
    if (this.aligned && new Set(lengths).size > 1) {
      throw new Error(`columns side by side have unequal numbers of steps: ${lengths.join(", ")}`);
    }
    const steps = lengths.length ? (this.aligned ? lengths[0] : lengths.reduce((a, b) => a + b, 0)) : 1;
    return { values: this.laid(parts, steps), width: this.width, steps };
  }

  laid(parts, steps) {
    const out = new Float32Array(steps * this.width);
    let [column, begin] = [0, 0];
    this.fields.forEach(({ each, width }, at) => {
      const part = parts[at];
      const last = each ? part.steps : part.steps ? steps : 0;
      const first = each && !this.aligned ? begin : 0;
      for (let t = 0; t < last; t++) {
        for (let c = 0; c < width; c++) {
          out[(first + t) * this.width + column + c] = Number(part.values[(each ? t : 0) * width + c]);
        }
      }
      begin += each ? part.steps : 0;
      column += width;
    });
    return out;
  }
}
