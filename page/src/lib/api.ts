/** What the server says. The token comes in the address's fragment, which no browser sends anywhere, and leaves it at once. */

import { answered, recorded } from './recorded';

const KEY = 'unrolled-token';
let token = '';

export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** Takes the token out of the address, or what an earlier load of this tab kept. */
export function begin(): void {
  if (recorded) {
    if (!location.hash) history.replaceState(null, '', recorded.opens);
    return;
  }
  const found = /^#token=([^/]*)(\/.*)?$/.exec(location.hash);
  if (found) {
    know(decodeURIComponent(found[1] ?? ''));
    history.replaceState(null, '', `#${found[2] ?? '/'}`);
  } else {
    token = sessionStorage.getItem(KEY) ?? '';
  }
}

export function know(given: string): void {
  token = given;
  sessionStorage.setItem(KEY, given);
}

/** GET, or with a body POST. Throws Refused with the server's own words; status 0 where it doesn't answer. */
export async function ask<T>(path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  if (recorded) {
    const { answer, refused } = answered(path, body);
    if (refused !== undefined) throw new Refused(0, refused);
    return answer as T;
  }
  const headers: Record<string, string> = { authorization: `Bearer ${token}` };
  if (body !== undefined) headers['content-type'] = 'application/json';
  let reply: Response;
  try {
    reply = await fetch(path, {
      method: body === undefined ? 'GET' : 'POST',
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused(0, 'The studio does not answer. Is it still running?');
  }
  const said = await reply.json().catch(() => null);
  if (!reply.ok) throw new Refused(reply.status, said?.error?.message ?? `status ${reply.status}`);
  return said as T;
}

export function query(path: string, values: Record<string, string | number | null | undefined>): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) if (value != null) search.set(key, String(value));
  return `${path}?${search}`;
}
