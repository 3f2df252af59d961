/** A page that is a file has no server: the answers to what it would ask stand in it, as `unrolled studio --static` wrote them. */

import type { Compared, Live, Points } from './kinds';

interface Entry {
  path: string;
  asked: Record<string, unknown>;
  by?: string;
  answer?: unknown;
  refused?: string;
}

interface Recorded {
  opens: string;
  at: string;
  entries: Entry[];
}

const written = document.getElementById('recorded')?.textContent;
export const recorded: Recorded | null = written ? JSON.parse(written) : null;

/** What was asked for is what was recorded; a number of an address is text. */
function same(kept: unknown, asked: unknown): boolean {
  return typeof kept === 'object' ? JSON.stringify(kept) === JSON.stringify(asked) : String(kept) === String(asked);
}

/** The answer of the file; undefined where it holds none, a text where it was refused. */
export function answered(path: string, body: unknown): { answer?: unknown; refused?: string } {
  const [place = '', search = ''] = path.split('?');
  if (place === '/api/compare') return beside((body as { runs: string[] }).runs);
  const asked: Record<string, unknown> = body ? (body as Record<string, unknown>) : Object.fromEntries(new URLSearchParams(search));
  const entry = recorded?.entries.find((one) => one.path === place && Object.entries(one.asked).every(([key, value]) => same(value, asked[key])));
  if (!entry) return { refused: 'This is not in the file. It holds what was recorded; the studio itself shows the rest.' };
  if (entry.refused !== undefined) return { refused: entry.refused };
  if (entry.by) return { answer: (entry.answer as unknown[])[Number(asked[entry.by])] };
  return { answer: asked.low == null ? entry.answer : cut(entry.answer as Live, Number(asked.low), Number(asked.high)) };
}

/** Some of the runs that were recorded side by side. */
function beside(names: string[]): { answer?: Compared; refused?: string } {
  const all = recorded?.entries.find((one) => one.path === '/api/compare')?.answer as Compared | undefined;
  const places = names.map((name) => all?.runs.findIndex((run) => run.name === name) ?? -1);
  if (!all || places.includes(-1)) return { refused: 'The file does not hold these runs side by side.' };
  const lines = all.differing.map((line) => ({ ...line, values: places.map((i) => line.values[i]) }));
  const differing = lines.filter(({ values }) => new Set(values.map((value) => JSON.stringify(value))).size > 1);
  return { answer: { runs: places.map((i) => all.runs[i]!), differing, same: all.same + lines.length - differing.length } };
}

/** The curves from `low` to `high`, and a point on either side, so that the lines go on. */
function cut(live: Live, low: number, high: number): Live {
  const within = ({ x, y }: Points): Points => {
    const first = Math.max(0, x.findIndex((at) => at >= low) - 1);
    const after = x.findIndex((at) => at > high);
    const last = after < 0 ? x.length : after + 1;
    return { x: x.slice(first, last), y: y.slice(first, last) };
  };
  const curves = Object.fromEntries(Object.entries(live.curves).map(([name, points]) => [name, within(points)])) as Live['curves'];
  return { ...live, curves, speed: within(live.speed) };
}
