import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request as httpRequest, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type Certificate, makeCertificate } from './certificates.ts';
import { stop } from './processes.ts';
import type { Environment, StartedSubject, Subject } from './proxies.ts';
import { TOKEN } from './upstream.ts';

interface Received {
  readonly authorization: readonly string[];
  readonly sha256: string;
}

/** A server that records requests. */
interface Recorder {
  readonly port: number;
  readonly received: readonly Received[];
  connections(): number;
  close(): void;
}

async function startRecorder(certificate?: Certificate): Promise<Recorder> {
  const received: Received[] = [];
  let connections = 0;
  const onRequest = (req: IncomingMessage, res: ServerResponse) => {
    const hash = createHash('sha256');
    req.on('data', (chunk: Buffer) => hash.update(chunk));
    req.on('end', () => {
      const authorization = req.rawHeaders.filter(
        (_, i) => i % 2 === 1 && /^authorization$/i.test(req.rawHeaders[i - 1] ?? ''),
      );
      received.push({ authorization, sha256: hash.digest('hex') });
      res.end('fine');
    });
  };
  const server =
    certificate === undefined
      ? createServer(onRequest).on('connection', () => (connections += 1))
      : createTlsServer(
          { cert: readFileSync(certificate.certFile), key: readFileSync(certificate.keyFile) },
          onRequest,
        ).on('secureConnection', () => (connections += 1));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    received,
    connections: () => connections,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/**
 * Sends bodies through a subject to a server that records the requests.
 * @throws Error if the token is missing, the client's own credential arrives, a body is changed or no connection is kept
 */
export async function checkSubject(subject: Subject, place: Environment): Promise<void> {
  if (subject.kind === 'floor') return;
  const recorder = await startRecorder();
  try {
    await withSubject(subject, { ...place, upstream: { port: recorder.port } }, (started) =>
      checkRequests(started, recorder),
    );
  } finally {
    recorder.close();
  }
}

/**
 * The same over TLS to the upstream.
 * @throws Error also if the subject accepts an untrusted certificate
 */
export async function checkSubjectOverTls(subject: Subject, place: Environment): Promise<void> {
  const [trusted, other] = ['trusted', 'other'].map((name) => makeCertificate(place.directory, name));
  const caFile = trusted?.certFile ?? '';
  const recorder = await startRecorder(trusted);
  const impostor = await startRecorder(other);
  try {
    await withSubject(subject, { ...place, upstream: { port: recorder.port, caFile } }, (started) =>
      checkRequests(started, recorder),
    );
    await withSubject(subject, { ...place, upstream: { port: impostor.port, caFile } }, async (started) => {
      await send(started, Buffer.alloc(0)).catch(() => undefined);
      if (impostor.received.length > 0) throw new Error('does not verify the certificate of the upstream');
    });
  } finally {
    recorder.close();
    impostor.close();
  }
}

async function withSubject(
  subject: Subject,
  place: Environment,
  check: (started: StartedSubject) => Promise<void>,
): Promise<void> {
  const started = await subject.start(place);
  try {
    await check(started);
  } finally {
    await stop(started.child);
  }
}

const CHECKED_REQUESTS = 3;

async function checkRequests(started: StartedSubject, recorder: Recorder): Promise<void> {
  const body = Buffer.alloc(100_000, 'payment');
  const sha256 = createHash('sha256').update(body).digest('hex');
  for (let i = 0; i < CHECKED_REQUESTS; i++) {
    const status = await send(started, body);
    if (status !== 200) throw new Error(`responded ${status}`);
  }
  const { received } = recorder;
  if (received.length !== CHECKED_REQUESTS) {
    throw new Error(`${received.length} requests arrived for ${CHECKED_REQUESTS} sent`);
  }
  for (const request of received) {
    if (request.authorization.join() !== `Bearer ${TOKEN}`)
      throw new Error('the token is missing or not the only credential');
    if (request.sha256 !== sha256) throw new Error('the body was changed');
  }
  if (recorder.connections() === CHECKED_REQUESTS) throw new Error('keeps no connection to the upstream');
}

/** @returns the status of the response */
async function send({ port, prefix }: StartedSubject, body: Buffer): Promise<number | undefined> {
  const headers = { authorization: 'Bearer the-client-s-own', 'content-length': body.length };
  const path = `${prefix}/check?a=%2F`;
  const req = httpRequest({ port, host: '127.0.0.1', method: 'POST', path, headers }).end(body);
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  res.resume();
  await once(res, 'end');
  return res.statusCode;
}
