import { Agent, request as send } from 'undici';
import { guardedLookup } from '../lookup.ts';
import type { TokenTransport } from './exchange.ts';

/** At most this much of a token endpoint's answer is read. Bytes. */
const MAX_ANSWER_BYTES = 64 * 1024;

/** Talks to real token endpoints: HTTP/1.1, TLS always verified, redirects never followed. */
export function networkTransport(): { transport: TokenTransport; close(): Promise<void> } {
  const agent = new Agent({
    allowH2: false,
    connect: { timeout: 5000, lookup: guardedLookup, rejectUnauthorized: true },
    pipelining: 1,
  });
  return {
    async transport(request, signal) {
      const { statusCode, headers, body } = await send(request.url, {
        method: request.method,
        headers: request.headers,
        body: request.body ?? null,
        signal,
        dispatcher: agent,
      });
      const chunks: Buffer[] = [];
      let length = 0;
      for await (const chunk of body as AsyncIterable<Buffer>) {
        length += chunk.length;
        if (length > MAX_ANSWER_BYTES) {
          throw Object.assign(new Error('answer too long'), { code: 'answer longer than 64 KiB' });
        }
        chunks.push(chunk);
      }
      return {
        status: statusCode,
        headers: Object.fromEntries(
          Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]),
        ),
        body: Buffer.concat(chunks).toString('utf8'),
      };
    },
    close: () => agent.destroy(),
  };
}
