/** Canvases of the glass box. */

import type { Picture } from './kinds';
import { colour, rgb } from './theme.svelte';

export function sized(canvas: HTMLCanvasElement): CanvasRenderingContext2D | null {
  const { clientWidth, clientHeight } = canvas;
  const ratio = devicePixelRatio || 1;
  const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
  if (!width || !height) return null;
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const pen = canvas.getContext('2d');
  pen?.setTransform(1, 0, 0, 1, 0, 0);
  pen?.clearRect(0, 0, width, height);
  return pen;
}

/** Gates: a slot a unit, two leaves that part as far as the gate is open. */
export function drawGates(canvas: HTMLCanvasElement, values: Float32Array, before: Float32Array | undefined): void {
  const pen = sized(canvas);
  if (!pen) return;
  const { width, height } = canvas;
  const slot = width / values.length;
  const gap = slot > 5 ? Math.max(1, slot * 0.18) : 0.5;
  const [r, g, b] = rgb('open');
  const leaf = colour('sunk');
  values.forEach((value, i) => {
    const open = Math.max(1, value * height);
    const x = i * slot;
    pen.fillStyle = leaf;
    pen.fillRect(x, 0, slot - gap, height);
    pen.fillStyle = `rgba(${r}, ${g}, ${b}, ${0.3 + 0.7 * value})`;
    pen.fillRect(x, (height - open) / 2, slot - gap, open);
  });
  if (before) ghosts(pen, before, slot, gap, (value) => (height - value * height) / 2);
}

/** States: bars up and down from the middle. `most` is a full bar. */
export function drawState(canvas: HTMLCanvasElement, values: Float32Array, before: Float32Array | undefined, most: number): void {
  const pen = sized(canvas);
  if (!pen) return;
  const { width, height } = canvas;
  const slot = width / values.length;
  const gap = slot > 5 ? Math.max(1, slot * 0.18) : 0.5;
  const middle = height / 2;
  pen.fillStyle = colour('sunk');
  pen.fillRect(0, 0, width, height);
  const [plus, minus] = [colour('plus'), colour('minus')];
  values.forEach((value, i) => {
    const size = Math.min(1, Math.abs(value) / most) * middle;
    pen.fillStyle = value >= 0 ? plus : minus;
    pen.fillRect(i * slot, value >= 0 ? middle - size : middle, slot - gap, size);
  });
  pen.fillStyle = colour('rule');
  pen.fillRect(0, middle - 0.5, width, 1);
  if (before) ghosts(pen, before, slot, gap, (value) => middle - Math.max(-1, Math.min(1, value / most)) * middle);
}

/** Where each unit stood a step ago. */
function ghosts(pen: CanvasRenderingContext2D, before: Float32Array, slot: number, gap: number, y: (value: number) => number): void {
  if (slot < 3) return;
  pen.fillStyle = colour('ink');
  pen.globalAlpha = 0.45;
  before.forEach((value, i) => pen.fillRect(i * slot, y(value) - 0.75, slot - gap, 1.5));
  pen.globalAlpha = 1;
}

/** A matrix as colours, one column a step: from the ground to `open`, or from `minus` through the ground to `plus`. */
export function drawFilm(canvas: HTMLCanvasElement, rows: Float32Array[], units: number, share: boolean, most: number, upright = true): void {
  const pen = sized(canvas);
  if (!pen || !rows.length || !units) return;
  const [across, down] = upright ? [rows.length, units] : [units, rows.length];
  const image = new ImageData(across, down);
  const [ground, high, low] = [rgb('sunk'), rgb(share ? 'open' : 'plus'), rgb('minus')];
  rows.forEach((row, t) => {
    for (let unit = 0; unit < units; unit += 1) {
      const value = Math.max(-1, Math.min(1, (row[unit] ?? 0) / most));
      const end = value < 0 ? low : high;
      const part = Math.abs(value);
      const at = 4 * (upright ? unit * across + t : t * across + unit);
      for (let c = 0; c < 3; c += 1) image.data[at + c] = ground[c]! + (end[c]! - ground[c]!) * part;
      image.data[at + 3] = 255;
    }
  });
  const small = new OffscreenCanvas(across, down);
  small.getContext('2d')?.putImageData(image, 0, 0);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(small, 0, 0, canvas.width, canvas.height);
}

/** Steps from left to right, their numbers from below upwards: of sound a spectrogram. */
export function drawPicture(canvas: HTMLCanvasElement, image: Picture): void {
  const across = image.values.length;
  const picture = new ImageData(across, image.columns);
  const [ground, ink] = [rgb('sunk'), rgb('plus')];
  image.values.forEach((row, t) =>
    row.forEach((value, d) => {
      const at = 4 * ((image.columns - 1 - d) * across + t);
      for (let c = 0; c < 3; c += 1) picture.data[at + c] = ground[c]! + ((ink[c]! - ground[c]!) * value) / 255;
      picture.data[at + 3] = 255;
    }),
  );
  [canvas.width, canvas.height] = [across, image.columns];
  canvas.getContext('2d')?.putImageData(picture, 0, 0);
}
