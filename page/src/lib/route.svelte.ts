/** Where the page is: the fragment, as #/run/NAME/glass. */

import { begin } from './api';

begin(); // the token leaves the address before that is read

export interface Place {
  view: string;
  names: string[];
  tab: string;
}

function read(): Place {
  const [view = '', names = '', tab = ''] = location.hash.replace(/^#\/?/, '').split('/');
  return { view, names: names ? names.split(',').map(safely) : [], tab };
}

function safely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const place = $state<{ now: Place }>({ now: read() });

addEventListener('hashchange', () => {
  place.now = read();
  scrollTo(0, 0);
});

export function address(view: string, names: string[] = [], tab = ''): string {
  return `#/${[view, names.map(encodeURIComponent).join(','), tab].filter(Boolean).join('/')}`;
}

export function go(to: string): void {
  location.hash = to;
}

/** A change of the address that isn't a place to come back to. */
export function become(to: string): void {
  history.replaceState(null, '', to);
  place.now = read();
}
