import type { ReplayResult } from '../admin/snapshot.ts';
import type { ListenAddress } from '../config/config.ts';
import { networkCode } from '../errors.ts';
import { http } from '../node-http.ts';
import type { RequestRecord } from '../telemetry/trail.ts';

/** Headers that the new request has of its own. */
const NOT_REPEATED = new Set(['connection', 'content-length', 'expect', 'host', 'transfer-encoding', 'x-request-id']);

const TIMEOUT_MS = 10_000;

/** Sends a recorded request through the proxy once more, as the client sent it. Only for emulated providers. */
export async function resend(
  trail: RequestRecord | undefined,
  prefix: string,
  proxy: ListenAddress,
): Promise<ReplayResult> {
  const why = refusalOf(trail);
  if (trail === undefined || why !== undefined) return { kind: 'refused', why: why ?? '' };
  const headers: string[] = [];
  for (let i = 0; i < trail.requestHeaders.length; i += 2) {
    const [name = '', value = ''] = trail.requestHeaders.slice(i, i + 2);
    if (!NOT_REPEATED.has(name.toLowerCase())) headers.push(name, value);
  }
  const body = trail.bodies?.request ?? new Uint8Array();
  const { host, port } = proxy;
  const own = ['host', `127.0.0.1:${port}`, 'content-length', String(body.length)];
  const path = `${prefix}${trail.path ?? ''}${trail.query}`;
  const options = { host, port, method: trail.method, path, headers: [...headers, ...own], timeout: TIMEOUT_MS };
  return new Promise((resolve) => {
    const sent = http.request(options, (answer) => {
      const { statusCode: status = 0 } = answer;
      // Also where the answer breaks off.
      answer.resume().once('close', () => {
        resolve({ kind: 'sent', requestId: String(answer.headers['x-request-id'] ?? ''), status });
      });
    });
    sent.maxHeadersCount = 0;
    sent.once('timeout', () => sent.destroy());
    sent.on('error', (error) => {
      resolve({ kind: 'refused', why: `The proxy gave no answer (${networkCode(error)}).` });
    });
    sent.end(body);
  });
}

function refusalOf(trail: RequestRecord | undefined): string | undefined {
  if (trail === undefined) return 'This request is not kept any more.';
  if (trail.route === undefined || trail.path === undefined || trail.attempts.length === 0) {
    return 'This request went to no provider.';
  }
  const kept = trail.bodies?.request.length ?? 0;
  return kept < trail.requestBytes ? 'Its body is longer than what is kept of it.' : undefined;
}
