/** What was heard inside a model, step by step, unpacked. */

import type { Layer, Packed, Reading } from './kinds';

export interface Track {
  name: string;
  share: boolean;
  units: number;
  of: number;
  rows: Float32Array[];
  most: number;
}

export interface Attention {
  heads: number;
  of: number;
  cross: boolean;
  /** For each step the weights of all heads, one head after the other, `width` each. */
  rows: { width: number; data: Float32Array }[];
}

export interface Film {
  path: string;
  kind: string;
  source: boolean;
  tracks: Track[];
  attention: Attention | null;
  /** Which unit stands where: units keep their places while a sequence grows. */
  order: number[];
  sorted: string;
}

function numbers(packed: Packed): Float32Array {
  const bytes = Uint8Array.from(atob(packed.data), (letter) => letter.charCodeAt(0));
  const whole = new Int16Array(bytes.buffer);
  const found = new Float32Array(whole.length);
  for (let i = 0; i < whole.length; i += 1) found[i] = whole[i]! * packed.scale;
  return found;
}

/** Units that remember long stand together, and so do those that forget: what their gate is in the mean, once. */
function ordered(layer: Layer, tracks: Track[]): { order: number[]; sorted: string } {
  const gates: Record<string, [string, number]> = { lstm: ['forget', -1], gru: ['update', -1], mingru: ['update', 1] };
  const [name, sign] = gates[layer.kind] ?? [tracks.find((one) => ['hidden', 'output', 'pooled', 'y'].includes(one.name))?.name ?? '', -1];
  const by = tracks.find((one) => one.name === name);
  if (!by) return { order: [], sorted: '' };
  const means = Array.from({ length: by.units }, (_, unit) => by.rows.reduce((sum, row) => sum + row[unit]!, 0));
  const order = means.map((_, unit) => unit).sort((a, b) => sign * (means[a]! - means[b]!));
  return { order, sorted: layer.kind in gates ? 'units that remember longest on top' : '' };
}

function film(layer: Layer, known: Film | undefined): Film {
  const tracks = layer.values.map((value) => {
    const all = numbers(value);
    const rows = Array.from({ length: value.steps }, (_, t) => all.subarray(t * value.units, (t + 1) * value.units));
    const share = value.share && (value.name !== 'output' || layer.kind === 'lstm');
    return { name: value.name, share, units: value.units, of: value.of, rows, most: largest(rows) };
  });
  const { order, sorted } = known?.order.length ? known : ordered(layer, tracks);
  for (const track of tracks) if (track.units === order.length) track.rows = track.rows.map((row) => Float32Array.from(order, (unit) => row[unit]!));
  let attention: Attention | null = null;
  if (layer.weights) {
    const { heads, of, cross, width, steps } = layer.weights;
    const all = numbers(layer.weights);
    const rows = Array.from({ length: steps }, (_, t) => {
      const data = new Float32Array(heads * width);
      for (let head = 0; head < heads; head += 1) data.set(all.subarray((head * steps + t) * width, (head * steps + t + 1) * width), head * width);
      return { width, data };
    });
    attention = { heads, of, cross, rows };
  }
  return { path: layer.path, kind: layer.kind, source: layer.source, tracks, attention, order, sorted };
}

function largest(rows: Float32Array[]): number {
  let most = 0;
  for (const row of rows) for (const value of row) most = Math.max(most, Math.abs(value));
  return most || 1;
}

/** The films after a reading: its steps from `known` on take the place of what stood there. */
export function spliced(before: Film[], said: Reading): Film[] {
  const fresh = said.layers.map((layer) => film(layer, before.find((one) => one.path === layer.path)));
  if (said.known === 0) return fresh;
  return fresh.map((layer) => {
    const old = before.find((one) => one.path === layer.path);
    if (!old || layer.source) return layer;
    const tracks = layer.tracks.map((track) => {
      const rows = [...(old.tracks.find((one) => one.name === track.name)?.rows.slice(0, said.known) ?? []), ...track.rows];
      return { ...track, rows, most: largest(rows) };
    });
    const attention = layer.attention && { ...layer.attention, rows: [...(old.attention?.rows.slice(0, said.known) ?? []), ...layer.attention.rows] };
    return { ...layer, tracks, attention };
  });
}

/** The weights (width,) of a step: of one head, or their mean. */
export function weightsAt(attention: Attention, step: number, head: number | null): Float32Array {
  const row = attention.rows[Math.min(step, attention.rows.length - 1)];
  if (!row) return new Float32Array();
  if (head != null) return row.data.subarray(head * row.width, (head + 1) * row.width);
  const mean = new Float32Array(row.width);
  for (let i = 0; i < row.data.length; i += 1) mean[i % row.width]! += row.data[i]! / attention.heads;
  return mean;
}

export function meanOf(values: Float32Array | undefined): number {
  if (!values?.length) return 0;
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

const PLAIN: Record<string, string> = {
  input: 'input gate',
  forget: 'forget gate',
  output: 'output gate',
  update: 'update gate',
  reset: 'reset gate',
  candidate: 'candidate',
  cell: 'cell state',
  hidden: 'hidden state',
  pooled: 'pooled',
  y: 'output',
};

/** A value's name in words; a convolution's output is no gate. */
export function words(track: { name: string; share: boolean }, kind: string): string {
  if (kind === 'ffn' && track.name === 'hidden') return 'inner units';
  return track.name === 'output' && !track.share ? 'output' : (PLAIN[track.name] ?? track.name);
}
