import type { Config } from '../config/config.ts';
import { formatHost, isHost } from './host.ts';
import { CUT, HIDDEN } from '../telemetry/sensitive.ts';
import type { RequestDetails, ShownBody } from './request-details.ts';
import type { RequestView } from './request-view.ts';

/** Headers of a request that curl makes itself, or that tell of this one request only. */
const OWN =
  /^(host|connection|keep-alive|content-length|transfer-encoding|user-agent|accept-encoding|upgrade|via|expect|traceparent|origin|age)$|^sec-|^x-request-id$/;

/**
 * A line for a POSIX shell that sends a request to the proxy again, without the Authorization or any other hidden
 * header. What is masked in it has to be put in by hand.
 */
export function curlOf(
  view: RequestView,
  headers: RequestDetails['requestHeaders'],
  body: ShownBody,
  config: Config,
): string {
  const [, host = ''] = headers.find(([name]) => name.toLowerCase() === 'host') ?? [];
  const proxy = isHost(host) ? host : formatHost(config.listen);
  const scheme = config.tls === undefined ? 'http' : 'https';
  const sent = headers.filter(
    ([name, value]) => !OWN.test(name.toLowerCase()) && name !== CUT && value !== HIDDEN && !/^\*(\/\*)?$/.test(value),
  );
  const hasBody = body.kind === 'text' && body.cut === 0 && !body.text.endsWith(CUT);
  const method = view.method === 'GET' || (view.method === 'POST' && hasBody) ? [] : ['-X', quoted(view.method)];
  return [
    'curl',
    '-sS',
    // Brackets in a URL mean something to curl otherwise.
    ...(/[[\]{}]/.test(view.path) ? ['-g'] : []),
    ...method,
    quoted(`${scheme}://${proxy}${view.path}`),
    ...sent.flatMap(([name, value]) => ['-H', quoted(`${name}: ${value}`)]),
    ...(hasBody ? ['--data-raw', quoted(compact(body.text))] : []),
  ].join(' ');
}

/** JSON in one line; anything else as it is. */
function compact(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return text;
  }
}

function quoted(text: string): string {
  return /^[\w:/.\-=]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
