// Texts -> ids, which are numbers, and back: as the package's codecs do. And the samples of a sound.

const BOUNDARY = 0;
const bytesOf = (text) => new TextEncoder().encode(text);
const textOf = (bytes) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));

class Words {
  constructor(codec) {
    this.ids = new Map(codec.words.map((word, number) => [word, number + 2]));
  }
  encode(text) {
    const read = Array.isArray(text) ? text.join(" ") : String(text);
    const found = read.toLowerCase().match(/[\p{L}\p{N}_]+(?:['’-][\p{L}\p{N}_]+)*|[^\p{L}\p{N}_\s]/gu) ?? [];
    return found.map((word) => this.ids.get(word) ?? 1);
  }
}

// A text is one item; of a model that tags, as many as it has words.
class Items {
  constructor(codec, task) {
    this.ids = new Map(codec.names.map((name, number) => [name, number + 2]));
    this.tags = task.kind === "tag";
  }
  encode(value) {
    let items = [value].flat();
    if (typeof value === "string" && value.trim().startsWith("[")) items = JSON.parse(value);
    else if (typeof value === "string" && this.tags) items = value.split(/\s+/).filter(Boolean);
    return items.map((item) => (nameOf(item) ? this.ids.get(nameOf(item)) ?? 1 : 0));
  }
}

// An item as text, a missing one empty; true and false as Python writes them.
function nameOf(item) {
  if (typeof item === "boolean") return item ? "True" : "False";
  return String(item ?? "").trim();
}

class Bytes {
  encode(text) {
    return Array.from(bytesOf(text), (byte) => byte + 1);
  }
  decode(ids) {
    return textOf(ids.filter((id) => id !== BOUNDARY).map((id) => id - 1));
  }
}

// Characters that training hadn't, as the nibbles of their bytes: ids 1 ... 16.
const spelled = (letter) => Array.from(bytesOf(letter)).flatMap((byte) => [(byte >> 4) + 1, (byte & 15) + 1]);

function unspelled(ids, name) {
  let text = "";
  let halves = [];
  for (const id of [...ids.filter((each) => each !== BOUNDARY), null]) {
    if (id !== null && id < 17) {
      halves.push(id - 1);
      continue;
    }
    const pairs = Math.floor(halves.length / 2);
    text += textOf(Array.from({ length: pairs }, (_, i) => 16 * halves[2 * i] + halves[2 * i + 1]));
    halves = [];
    text += id === null ? "" : name(id);
  }
  return text;
}

class Characters {
  constructor(codec) {
    this.letters = Array.from(codec.characters);
    this.ids = new Map(this.letters.map((letter, number) => [letter, number + 17]));
  }
  encode(text) {
    return Array.from(text).flatMap((letter) => this.ids.get(letter) ?? spelled(letter));
  }
  decode(ids) {
    return unspelled(ids, (id) => this.letters[id - 17]);
  }
}

// A note, a bar line, a header line; and the pieces of what training hadn't: see the package's abc_tokens.py.
const COARSE = new RegExp(
  [
    /(?<![^\n])[KLMPQR]:(?![|:])[^\r\n]*(?:\r?\n)?/,
    /(?<![^\n])[A-Z]:(?![|:])[^\r\n\p{Nd}]*/u,
    /(?:[|:\[\]]*\|[|:\]]*|::|\[(?=\p{Nd}))\p{Nd}?!?(?:\r?\n)?/u,
    /\(\p{Nd}(?::\p{Nd}*)*/u,
    /[_^=]*[A-Ga-gxzZ][,']*(?:\p{Nd}+\/*\p{Nd}*|\/+\p{Nd}*)?/u,
    /[<>]+|[\s\S]/,
  ]
    .map((part) => part.source)
    .join("|"),
  "gu",
);
const FINE = /^[A-Z]:\s?|[_^=]+[A-Ga-gz][,']*|[A-Za-z']{2,}|[\s\S]/gu;

class Notation {
  constructor(codec) {
    this.tokens = codec.tokens;
    this.ids = new Map(this.tokens.map((token, number) => [token, number + 17]));
  }
  encode(text) {
    return (text.match(COARSE) ?? []).flatMap((token) => this.ids.get(token) ?? this.finer(token));
  }
  finer(token) {
    const letters = (piece) => Array.from(piece).flatMap((letter) => this.ids.get(letter) ?? spelled(letter));
    return (token.match(FINE) ?? []).flatMap((piece) => this.ids.get(piece) ?? letters(piece));
  }
  decode(ids) {
    return unspelled(ids, (id) => this.tokens[id - 17]);
  }
}

class Bpe {
  constructor(codec) {
    const { vocab, merges } = codec.tokenizer.model;
    this.ids = new Map(Object.entries(vocab).map(([token, id]) => [token, id + 1]));
    this.tokens = new Map(Array.from(this.ids, ([token, id]) => [id, token]));
    const pairs = merges.map((pair) => (Array.isArray(pair) ? pair.join(" ") : pair));
    this.ranks = new Map(pairs.map((pair, rank) => [pair, rank]));
    const plain = (byte) => (byte >= 33 && byte < 127) || (byte >= 161 && byte < 173) || byte >= 174;
    let others = 256;
    this.letters = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(plain(byte) ? byte : others++));
    this.bytes = new Map(this.letters.map((letter, byte) => [letter, byte]));
  }
  encode(text) {
    const pattern = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;
    return (text.match(pattern) ?? []).flatMap((piece) =>
      this.merged(Array.from(bytesOf(piece), (byte) => this.letters[byte])),
    );
  }
  merged(parts) {
    for (;;) {
      let [best, at] = [Infinity, -1];
      for (let i = 0; i + 1 < parts.length; i++) {
        const rank = this.ranks.get(`${parts[i]} ${parts[i + 1]}`) ?? Infinity;
        if (rank < best) [best, at] = [rank, i];
      }
      if (at < 0) return parts.map((part) => this.ids.get(part));
      parts.splice(at, 2, parts[at] + parts[at + 1]);
    }
  }
  decode(ids) {
    const letters = ids.filter((id) => id !== BOUNDARY).map((id) => this.tokens.get(id)).join("");
    return textOf(Array.from(letters, (letter) => this.bytes.get(letter)));
  }
}

const TEXTS = { words: Words, items: Items, bytes: Bytes, characters: Characters, abc: Notation, bpe: Bpe };

export const readsText = (kind) => kind in TEXTS;
export const readsSound = (kind) => ["log_mel", "mfcc", "waveform"].includes(kind);

export const textCodec = ({ codec, task }) => new TEXTS[codec.kind](codec, task);

// The samples of a WAV file, channels averaged: {samples: Float64Array, rate}.
export function samplesOf(buffer) {
  const view = new DataView(buffer);
  const name = (at) => String.fromCharCode(...new Uint8Array(buffer, at, 4));
  if (buffer.byteLength < 44 || name(0) !== "RIFF" || name(8) !== "WAVE") throw new Error("not a WAV file");
  let [format, channels, rate, bits] = [0, 0, 0, 0];
  for (let at = 12; at + 8 <= buffer.byteLength; ) {
    const size = view.getUint32(at + 4, true);
    if (name(at) === "fmt ") {
      format = view.getUint16(at + 8, true);
      channels = view.getUint16(at + 10, true);
      rate = view.getUint32(at + 12, true);
      bits = view.getUint16(at + 22, true);
    } else if (name(at) === "data") {
      const width = bits / 8;
      const frames = Math.floor(Math.min(size, buffer.byteLength - at - 8) / (width * channels));
      const read = {
        8: (i) => (view.getUint8(i) - 128) / 128,
        16: (i) => view.getInt16(i, true) / 2 ** 15,
        24: (i) => (view.getUint16(i, true) + 65536 * view.getInt8(i + 2)) / 2 ** 23,
        32: (i) => (format === 3 ? view.getFloat32(i, true) : view.getInt32(i, true) / 2 ** 31),
      }[bits];
      if (!read) throw new Error(`${bits} bits a sample; expected 8, 16, 24 or 32`);
      const samples = new Float64Array(frames);
      for (let frame = 0; frame < frames; frame++) {
        let sum = 0;
        for (let c = 0; c < channels; c++) sum += Math.fround(read(at + 8 + (frame * channels + c) * width));
        samples[frame] = Math.fround(sum / channels);
      }
      return { samples, rate };
    }
    at += 8 + size + (size % 2);
  }
  throw new Error("a WAV file without samples");
}
