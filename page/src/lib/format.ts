/** Numbers, times and tokens as people read them. */

export function count(value: number): string {
  if (value >= 1e9) return `${trim(value / 1e9)} G`;
  if (value >= 1e6) return `${trim(value / 1e6)} M`;
  if (value >= 1e4) return `${trim(value / 1e3)} k`;
  return String(Math.round(value * 100) / 100);
}

function trim(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function figure(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size !== 0 && size < 1e-3) return value.toExponential(2);
  if (size >= 1e6) return count(value);
  return size >= 1000 ? value.toFixed(0) : size >= 100 ? value.toFixed(1) : size >= 10 ? value.toFixed(2) : value.toFixed(4);
}

export function percent(value: number): string {
  const share = 100 * value;
  return share >= 99.95 ? '100 %' : share >= 9.95 ? `${share.toFixed(0)} %` : share >= 0.1 ? `${share.toFixed(1)} %` : share > 0 ? '<0.1 %' : '0 %';
}

export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(Math.round(seconds % 60)).padStart(2, '0')} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

export function when(iso: string): string {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return '';
  const minutes = (Date.now() - at.getTime()) / 60_000;
  if (minutes < 1) return 'just now';
  if (minutes < 60) return `${Math.floor(minutes)} min ago`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return at.toISOString().slice(0, 10);
}

/** A token whose white space can be seen. */
export function visible(label: string): string {
  if (label === '') return '∅';
  return label.replace(/\n/g, '↵').replace(/\t/g, '⇥').replace(/^ +| +$/g, (run) => '␣'.repeat(run.length));
}

const TASKS: Record<string, string> = {
  generate: 'writes text',
  classify: 'classifies',
  tag: 'tags',
  regress: 'estimates',
  translate: 'translates',
  transcribe: 'transcribes',
};

export function does(task: string): string {
  return TASKS[task] ?? task;
}

export function better(row: { score: number | null; better: string; baseline: { value: number | null } | null }): boolean | null {
  const other = row.baseline?.value;
  if (row.score == null || other == null) return null;
  return row.better === 'higher' ? row.score > other : row.score < other;
}
