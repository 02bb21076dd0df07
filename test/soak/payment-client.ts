import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import { Agent as TlsAgent, request as requestTls } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { bodyOf, type Payment } from './faults.ts';
import type { Scope } from './scope.ts';

/** The result of a payment for its client. */
export type Outcome =
  | {
      readonly kind: 'response';
      readonly status: number;
      readonly echoed: string | undefined;
      readonly closing: boolean;
    }
  | {
      readonly kind: 'problem';
      readonly status: number;
      readonly code: string;
      readonly outcome: string | undefined;
      readonly closing: boolean;
    }
  | { readonly kind: 'broken'; readonly headSeen: boolean; readonly code: string };

/** Longer than the timeouts of the routes. A client that waits longer never gets a response. */
const RESPONSE_TIMEOUT_MS = 10_000;

/** A keep-alive connection. */
export function connection(scope: Scope, listener: 'plain' | 'TLS' = 'plain'): Agent {
  const agent = new (listener === 'TLS' ? TlsAgent : Agent)({ keepAlive: true, maxSockets: 1 });
  scope.onEnd(() => agent.destroy());
  return agent;
}

export interface PaymentTarget {
  readonly port: number;
  /** Prefix of the route, without a trailing slash. */
  readonly prefix: string;
  readonly agent: Agent;
  /** PEM text of the certificate to trust. If it is set, the request uses TLS. */
  readonly ca?: string | undefined;
  /** The client's key for the proxy. */
  readonly key?: string;
}

/** Makes a payment. Never throws. */
export function pay({ port, prefix, agent, ca, key }: PaymentTarget, payment: Payment): Promise<Outcome> {
  const { id, chunked } = payment;
  const body = bodyOf(payment);
  const framing = chunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': body.length };
  const authorization = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const headers = { 'content-type': 'application/json', 'idempotency-key': id, ...framing, ...authorization };
  const options = { host: '127.0.0.1', port, path: `${prefix}/pay/${id}`, method: 'POST', headers, agent };
  const outgoing = ca === undefined ? request(options) : requestTls({ ...options, ca, servername: 'localhost' });
  return new Promise((resolve) => {
    let headSeen = false;
    const broke = (error: Error) => resolve({ kind: 'broken', headSeen, code: errorCode(error) });
    outgoing.setTimeout(RESPONSE_TIMEOUT_MS, () => outgoing.destroy(new Error('no response in time')));
    outgoing.on('error', broke);
    outgoing.on('close', () => {
      if (!headSeen) broke(new Error('closed'));
    });
    outgoing.on('response', (response) => {
      headSeen = true;
      outcomeOf(response).then(resolve, broke);
    });
    void send(outgoing, body, payment);
  });
}

async function send(outgoing: ClientRequest, body: Buffer, { chunked, pauseMs }: Payment): Promise<void> {
  if (!chunked && pauseMs === 0) {
    outgoing.end(body);
    return;
  }
  const third = Math.ceil(body.length / 3);
  for (let at = 0; at < body.length && !outgoing.destroyed; at += third) {
    outgoing.write(body.subarray(at, at + third));
    if (pauseMs > 0) await delay(pauseMs);
  }
  outgoing.end();
}

async function outcomeOf(response: IncomingMessage): Promise<Outcome> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  const { statusCode: status = 0, headers } = response;
  const closing = headers.connection === 'close';
  const json = parseJson(Buffer.concat(chunks).toString('utf8'));
  if (headers['content-type'] !== 'application/problem+json') {
    return { kind: 'response', status, echoed: json['id'], closing };
  }
  return { kind: 'problem', status, code: json['code'] ?? '', outcome: json['outcome'], closing };
}

/** A short name of the outcome, for counting. */
export function describeOutcome(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'response':
      return String(outcome.status);
    case 'problem':
      return `${outcome.code} ${outcome.outcome ?? ''}`;
    case 'broken':
      return 'connection broken';
  }
}

function parseJson(text: string): Record<string, string | undefined> {
  try {
    return JSON.parse(text) as Record<string, string>;
  } catch {
    return {};
  }
}

function errorCode(error: Error): string {
  return 'code' in error ? String(error.code) : error.message;
}
