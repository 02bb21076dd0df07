import { isLoopbackName } from '../loopback.ts';
import type { Tracing } from './config.ts';
import type { Diagnostics } from './problems.ts';
import type { ConfigInput } from './schema.ts';
import type { Path } from './tree.ts';

/** Where traces go. */
export function readTracing({ tracing: input }: ConfigInput, report: Diagnostics): Tracing | undefined {
  if (input === undefined) return undefined;
  const path: Path = ['tracing', 'otlp'];
  const url = URL.parse(input.otlp);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.username !== '') {
    report.problem(path, 'must be the URL of a collector such as `http://127.0.0.1:4318`, without user name');
    return undefined;
  }
  if (url.search !== '' || url.hash !== '')
    report.problem(path, 'must hold no query (`?...`) and no fragment (`#...`)');
  if (url.protocol === 'http:' && !isLoopbackName(url.hostname)) {
    report.warn(path, 'is not encrypted on its way: whoever is in between sees paths and times; use `https://`');
  }
  // As the variables of OpenTelemetry have it, the path of the signal comes behind; some write it all the same.
  return { otlp: `${url.origin}${url.pathname}`.replace(/(?<!\/)\/+$/, '').replace(/\/v1\/traces$/, '') };
}
