import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Place, Subject } from './proxies.ts';
import { stop } from './processes.ts';
import { TOKEN } from './upstream.ts';

interface Seen {
  readonly authorization: readonly string[];
  readonly sha256: string;
}

/**
 * Sends a body through a subject to a server that takes down what arrives.
 * @throws Error if the token did not arrive, the client's own did, or the body was changed
 */
export async function checkSubject(subject: Subject, place: Place): Promise<void> {
  if (subject.kind === 'floor') return;
  const seen: Seen[] = [];
  const recorder = createServer((req, res) => {
    const hash = createHash('sha256');
    req.on('data', (chunk: Buffer) => hash.update(chunk));
    req.on('end', () => {
      const authorization = req.rawHeaders.filter(
        (_, i) => i % 2 === 1 && /^authorization$/i.test(req.rawHeaders[i - 1] ?? ''),
      );
      seen.push({ authorization, sha256: hash.digest('hex') });
      res.end('fine');
    });
  });
  recorder.listen(0, '127.0.0.1');
  await once(recorder, 'listening');
  const started = await subject.start({ ...place, upstreamPort: (recorder.address() as AddressInfo).port });
  try {
    const body = Buffer.alloc(100_000, 'payment');
    await post(started.port, `${started.prefix}/check?a=%2F`, body);
    const [first] = seen;
    if (seen.length !== 1 || first === undefined) throw new Error(`${seen.length} requests arrived for one sent`);
    if (first.authorization.join() !== `Bearer ${TOKEN}`) throw new Error('the token did not arrive, or not alone');
    if (first.sha256 !== createHash('sha256').update(body).digest('hex')) throw new Error('the body was changed');
  } finally {
    await stop(started.child);
    recorder.close();
    recorder.closeAllConnections();
  }
}

async function post(port: number, path: string, body: Buffer): Promise<void> {
  const headers = { authorization: 'Bearer the-client-s-own', 'content-length': body.length };
  const req = httpRequest({ port, host: '127.0.0.1', method: 'POST', path, headers }).end(body);
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  res.resume();
  await once(res, 'end');
  if (res.statusCode !== 200) throw new Error(`answered ${res.statusCode}`);
}
