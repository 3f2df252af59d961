/** unrolled.music.synth once more: the same samples from the same numbers, so that a tune sounds as its WAV file does. */

import type { Flute, Note } from './kinds';

/** Half a cosine from 1 at 0 to 0 at 1. */
const falling = (part: number): number => 0.5 + 0.5 * Math.cos(Math.PI * Math.max(0, Math.min(1, part)));

/** One note from silence to silence: attack, a body that settles, a release after its written end. */
export function sounded(flute: Flute, [, seconds, midi, velocity]: Note): Float32Array {
  const { rate, release } = flute;
  const frequency = 440 * 2 ** ((midi - 69) / 12);
  const [wobble, cents, onset] = flute.vibrato;
  const depth = (frequency * (2 ** (cents / 1200) - 1)) / wobble;
  const attack = Math.min(flute.attack, seconds / 2);
  const loud = (velocity / 127) ** 1.3;
  const partials = flute.partials.map((share, k) => (frequency * (k + 1) < 16_000 ? share : 0));
  const found = new Float32Array(Math.floor((seconds + release) * rate) + 2);
  for (let i = 0; i < found.length; i += 1) {
    const t = i / rate;
    const late = Math.max(0, Math.min(1, (t - onset) / onset));
    const phase = 2 * Math.PI * ((i * frequency) / rate % 1) + depth * late * Math.sin(2 * Math.PI * wobble * t);
    let wave = 0;
    for (let k = 0; k < partials.length; k += 1) wave += partials[k]! * Math.sin((k + 1) * phase);
    found[i] = loud * (1 - falling(t / attack)) * falling((t - seconds) / release) * (0.7 + 0.3 * Math.exp(-t / 0.12)) * wave;
  }
  return found;
}

/** All notes, without the room. */
export function dry(flute: Flute, notes: Note[], seconds: number): Float32Array {
  const found = new Float32Array(Math.floor((seconds + flute.tail) * flute.rate) + 1);
  for (const note of notes) {
    const first = Math.floor(note[0] * flute.rate);
    const one = sounded(flute, note);
    for (let i = 0; i < one.length && first + i < found.length; i += 1) found[first + i]! += one[i]!;
  }
  return found;
}

function room({ room: { scale, data }, share }: Flute): Float32Array {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return Float32Array.from(new Int16Array(bytes.buffer), (value) => share * scale * value);
}

/** The whole tune as a buffer that any audio context plays. */
export async function rendered(flute: Flute, notes: Note[], seconds: number): Promise<AudioBuffer> {
  const { rate } = flute;
  const plain = dry(flute, notes, seconds);
  const context = new OfflineAudioContext(1, plain.length, rate);
  const source = new AudioBufferSourceNode(context, { buffer: held(plain, rate) });
  const walls = new ConvolverNode(context, { disableNormalization: true, buffer: held(room(flute), rate) });
  source.connect(context.destination);
  source.connect(walls).connect(context.destination);
  source.start();
  const made = await context.startRendering();
  const samples = made.getChannelData(0);
  const fade = Math.floor(0.3 * rate);
  for (let i = 0; i < fade; i += 1) samples[samples.length - fade + i]! *= 1 - i / (fade - 1);
  const most = samples.reduce((found, value) => Math.max(found, Math.abs(value)), 0);
  for (let i = 0; i < samples.length; i += 1) samples[i]! *= flute.peak / most;
  return made;
}

function held(samples: Float32Array, rate: number): AudioBuffer {
  const buffer = new AudioBuffer({ length: samples.length, sampleRate: rate, numberOfChannels: 1 });
  buffer.getChannelData(0).set(samples);
  return buffer;
}
