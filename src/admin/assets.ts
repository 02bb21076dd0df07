import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Context } from 'hono';
import { problemIn } from './problem-response.ts';

interface Asset {
  readonly contentType: string;
  readonly text: string;
  readonly url: string;
}

/** Reads a file of `assets/`. The build copies that folder next to the chunk of this module. */
function asset(name: string, contentType: string): [string, Asset] {
  const text = readFileSync(new URL(`./assets/${name}`, import.meta.url), 'utf8');
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 16);
  return [name, { contentType, text, url: `/assets/${name}?v=${hash}` }];
}

const ASSETS: ReadonlyMap<string, Asset> = new Map([
  asset('dashboard.css', 'text/css; charset=utf-8'),
  asset('dashboard.js', 'text/javascript; charset=utf-8'),
  asset('icon.svg', 'image/svg+xml'),
]);

/** URL with a hash of the content, so that browsers may cache it forever. */
export function assetUrl(name: string): string {
  return ASSETS.get(name)?.url ?? '';
}

export function assetResponse(c: Context): Response {
  const found = ASSETS.get(c.req.param('name') ?? '');
  if (found === undefined) return problemIn(c, { status: 404, code: 'not_found', detail: 'No such asset.' });
  const isCurrent = found.url.endsWith(`?v=${c.req.query('v') ?? ''}`);
  const caching = isCurrent ? 'private, max-age=31536000, immutable' : 'no-cache';
  return c.body(found.text, 200, { 'content-type': found.contentType, 'cache-control': caching });
}
