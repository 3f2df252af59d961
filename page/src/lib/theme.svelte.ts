/** Light, dark, or as the system says; and the colours that canvases draw with. */

const KEY = 'unrolled-theme';
const dark = matchMedia('(prefers-color-scheme: dark)');

/** A browser may refuse a file its storage. */
function kept(): string {
  try {
    return localStorage.getItem(KEY) ?? 'auto';
  } catch {
    return 'auto';
  }
}

export const theme = $state({ choice: kept(), version: 0 });

function apply(): void {
  if (theme.choice === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.choice;
  cache.clear();
  theme.version += 1;
}

export function toggle(): void {
  const isDark = theme.choice === 'dark' || (theme.choice === 'auto' && dark.matches);
  theme.choice = isDark ? 'light' : 'dark';
  try {
    localStorage.setItem(KEY, theme.choice);
  } catch {
    // for this time only, then
  }
  apply();
}

const cache = new Map<string, string>();
let sample: HTMLElement | null = null;

/** A colour of app.css as a canvas takes it. */
export function colour(name: string): string {
  const known = cache.get(name);
  if (known) return known;
  if (!sample) {
    sample = document.createElement('i');
    sample.hidden = true;
    document.body.append(sample);
  }
  sample.style.color = `var(--${name})`;
  const found = getComputedStyle(sample).color;
  cache.set(name, found);
  return found;
}

export function rgb(name: string): [number, number, number] {
  const [r = 0, g = 0, b = 0] = (colour(name).match(/[\d.]+/g) ?? []).map(Number);
  return [r, g, b];
}

dark.addEventListener('change', apply);
apply();
