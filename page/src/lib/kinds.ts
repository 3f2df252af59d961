/** The shapes of the server's replies. */

export interface Row {
  name: string;
  kind: string;
  data: string;
  task: string;
  started: string;
  parameters: number;
  step: number;
  seconds: number;
  total: number | null;
  score: number | null;
  latest?: number;
  loss?: number;
  unit: string;
  better: string;
  interval: [number, number] | null;
  baseline: { name: string; value: number | null } | null;
  verdict: string;
  /** Of one optimizer step. */
  work: { tokens?: number; flops?: number } | null;
  state: 'finished' | 'running' | 'stopped';
}

export interface About extends Row {
  command: string;
  config: string;
  environment: Record<string, unknown>;
  facts: Record<string, unknown>;
  test: Record<string, unknown> | null;
  valid: Record<string, unknown> | null;
  naive: { name?: string; value?: number } | null;
  extends: string;
  looks: LookName[];
  tunes: boolean;
}

export interface LookName {
  name: string;
  says: string;
}

export interface Points {
  x: number[];
  y: number[];
}

export interface Live {
  row: Row;
  curves: Record<'loss' | 'norm' | 'lr' | 'valid', Points>;
  speed: Points;
  events: { step: number; what: string }[];
  points: number;
  failed: string | null;
}

export interface Opened {
  task: string;
  writes: boolean;
  spells: boolean;
  streams: boolean;
  codec: string;
  parameters: number;
  layers: LayerInfo[];
  classes: string[];
  inputs: string[];
  targets: string[];
  most: number;
  vocabulary: number | null;
  temperature?: number;
  prompt?: string;
  ids?: number[];
}

export interface LayerInfo {
  path: string;
  kind: string;
  width: number;
  parameters: number;
  past: number | null;
  future: number | null;
  equation: string;
  heads: number | null;
}

export interface Packed {
  scale: number;
  steps: number;
  data: string;
}

export interface Value extends Packed {
  name: string;
  share: boolean;
  units: number;
  of: number;
}

export interface Layer {
  path: string;
  kind: string;
  source: boolean;
  values: Value[];
  weights?: Packed & { heads: number; of: number; width: number; cross: boolean };
}

export interface Reading {
  known: number;
  cut: number;
  ids: number[] | null;
  labels: string[];
  layers: Layer[];
  surprise?: number[];
  answers?: number[][];
  heard?: string[];
  truth?: string;
  said?: string;
  source?: string[];
  input?: Picture;
}

/** Steps of numbers, each from 0 to 255. */
export interface Picture {
  columns: number;
  of: number;
  low: number;
  high: number;
  values: number[][];
}

export interface Steps {
  steps: number;
  labels?: string[];
  image?: Picture;
}

export interface DataRow extends Steps {
  part: 'train' | 'valid' | 'test';
  columns: [string, string][];
  answer?: Steps;
}

export interface Data {
  codec: string;
  sound: boolean;
  rows: DataRow[];
}

export interface Next {
  tokens: { id: number; label: string; p: number; own: number }[];
  rest: number;
  possible: number;
  bits: number;
  of: number;
  drawn?: number;
}

export interface Pick {
  label: string;
  truth: string;
  steps: number;
}

export interface Compared {
  runs: (Row & { curves: Record<'valid' | 'loss', Points>; seconds_curve: Points })[];
  differing: { key: string; values: unknown[] }[];
  same: number;
}

/** A block of a report, as plain data: `kind` is the class's name. */
export interface Block {
  kind: string;
  title?: string;
  caption?: string;
  [key: string]: unknown;
}

/** Start and length in seconds, MIDI pitch, velocity. */
export type Note = [number, number, number, number];

export interface Tune {
  step: number;
  abc: string;
  notes: Note[];
  seconds: number;
  problem: string;
  verdict: string;
  right?: boolean;
}

/** The numbers of unrolled.music.synth. */
export interface Flute {
  rate: number;
  peak: number;
  partials: number[];
  attack: number;
  release: number;
  vibrato: [number, number, number];
  share: number;
  tail: number;
  room: Packed;
}
