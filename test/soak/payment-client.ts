import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import { Agent as TlsAgent, request as requestTls } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { bodyOf, type Payment } from './faults.ts';
import type { Scope } from './scope.ts';

/** What a client got for its payment. */
export type Outcome =
  | { readonly kind: 'answer'; readonly status: number; readonly echoed: string | undefined; readonly closing: boolean }
  | {
      readonly kind: 'problem';
      readonly status: number;
      readonly code: string;
      readonly outcome: string | undefined;
      readonly closing: boolean;
    }
  | { readonly kind: 'broken'; readonly headSeen: boolean; readonly code: string };

/** Longer than the deadlines of the routes that are paid through: a client that waits for this long was forgotten. */
const FORGOTTEN_MS = 10_000;

/** One connection that is kept for the next request. */
export function connection(scope: Scope, listener: 'plain' | 'TLS' = 'plain'): Agent {
  const agent = new (listener === 'TLS' ? TlsAgent : Agent)({ keepAlive: true, maxSockets: 1 });
  scope.onEnd(() => agent.destroy());
  return agent;
}

export interface Where {
  readonly port: number;
  /** Of the route, without the slash at its end. */
  readonly prefix: string;
  readonly agent: Agent;
  /** PEM text of the certificate to trust: pays over TLS. */
  readonly ca?: string | undefined;
  /** What the client proves itself with. */
  readonly key?: string;
}

/** Makes a payment. Never throws. */
export function pay({ port, prefix, agent, ca, key }: Where, payment: Payment): Promise<Outcome> {
  const { id, chunked } = payment;
  const body = bodyOf(payment);
  const framing = chunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': body.length };
  const authorization = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const headers = { 'content-type': 'application/json', 'idempotency-key': id, ...framing, ...authorization };
  const options = { host: '127.0.0.1', port, path: `${prefix}/pay/${id}`, method: 'POST', headers, agent };
  const asked = ca === undefined ? request(options) : requestTls({ ...options, ca, servername: 'localhost' });
  return new Promise((resolve) => {
    let headSeen = false;
    const broke = (error: Error) => resolve({ kind: 'broken', headSeen, code: codeOf(error) });
    asked.setTimeout(FORGOTTEN_MS, () => asked.destroy(new Error('forgotten')));
    asked.on('error', broke);
    asked.on('close', () => {
      if (!headSeen) broke(new Error('closed'));
    });
    asked.on('response', (answer) => {
      headSeen = true;
      outcomeOf(answer).then(resolve, broke);
    });
    void send(asked, body, payment);
  });
}

async function send(asked: ClientRequest, body: Buffer, { chunked, pauseMs }: Payment): Promise<void> {
  if (!chunked && pauseMs === 0) {
    asked.end(body);
    return;
  }
  const third = Math.ceil(body.length / 3);
  for (let at = 0; at < body.length && !asked.destroyed; at += third) {
    asked.write(body.subarray(at, at + third));
    if (pauseMs > 0) await delay(pauseMs);
  }
  asked.end();
}

async function outcomeOf(answer: IncomingMessage): Promise<Outcome> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
  const { statusCode: status = 0, headers } = answer;
  const closing = headers.connection === 'close';
  const json = parsed(Buffer.concat(chunks).toString('utf8'));
  if (headers['content-type'] !== 'application/problem+json') {
    return { kind: 'answer', status, echoed: json['id'], closing };
  }
  return { kind: 'problem', status, code: json['code'] ?? '', outcome: json['outcome'], closing };
}

/** An outcome in one or two words, to be counted. */
export function wordsFor(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'answer':
      return String(outcome.status);
    case 'problem':
      return `${outcome.code} ${outcome.outcome ?? ''}`;
    case 'broken':
      return 'broken off';
  }
}

function parsed(text: string): Record<string, string | undefined> {
  try {
    return JSON.parse(text) as Record<string, string>;
  } catch {
    return {};
  }
}

function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : error.message;
}
