import { createHash } from 'node:crypto';
import type { Context } from 'hono';
import { problemIn } from '../problem-response.ts';
import { DASHBOARD_CSS } from './dashboard-css.ts';
import { DASHBOARD_JS } from './dashboard-js.ts';
import { ICON_SVG } from './icon-svg.ts';

interface Asset {
  readonly contentType: string;
  readonly text: string;
  readonly url: string;
}

function asset(name: string, contentType: string, text: string): [string, Asset] {
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 16);
  return [name, { contentType, text, url: `/assets/${name}?v=${hash}` }];
}

const ASSETS: ReadonlyMap<string, Asset> = new Map([
  asset('dashboard.css', 'text/css; charset=utf-8', DASHBOARD_CSS),
  asset('dashboard.js', 'text/javascript; charset=utf-8', DASHBOARD_JS),
  asset('icon.svg', 'image/svg+xml', ICON_SVG),
]);

/** With a hash of its content in it, so that it may be kept for good. */
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
