import { expect } from 'vitest';
import { RawClient, type RawResponse } from '../../support/raw-client.ts';
import { valuesOf } from '../../support/raw-message.ts';
import type { Bench } from './bench.ts';
import { BASE } from './strict-upstream.ts';

/** A request that must not reach any upstream. */
export interface Refused {
  readonly name: string;
  readonly bytes: string | Buffer;
  /** Status, code, and outcome unless it is `not_sent`. */
  readonly expected: string;
}

/** A request that goes out, once. */
export interface Accepted {
  readonly name: string;
  readonly bytes: string | Buffer;
  readonly expected: {
    /** Below the base path: `GET /x`. */
    readonly sent: string;
    readonly body?: string;
    /** Values of all lines by lower-case name; `[]` for none. */
    readonly headers?: Readonly<Record<string, readonly string[]>>;
  };
}

/** A request with these lines, and a Host line unless they start with one. */
export function request(start: string, ...lines: string[]): string {
  return [start.includes(' HTTP/') ? start : `${start} HTTP/1.1`, 'Host: localhost', ...lines, '', ''].join('\r\n');
}

/** The same without a Host line. */
export function bare(start: string, ...lines: string[]): string {
  return [`${start} HTTP/1.1`, ...lines, '', ''].join('\r\n');
}

/** A request that must not be executed after a refused one. */
export const SMUGGLED = request('GET /api/smuggled');

/** Sends the bytes, expects one refusal and nothing of it at the upstream, and that the connection ends. */
export async function expectRefusal(bench: Bench, { bytes, expected }: Refused): Promise<RawResponse> {
  const { responses } = await exchange(bench, bytes, 1);
  const [response] = responses;
  expect(summaryOf(response!)).toBe(expected);
  expect(bench.forwarded()).toEqual([]);
  return response!;
}

/** Sends the bytes, and expects one response of the upstream and exactly this request there. */
export async function expectAccepted(bench: Bench, { bytes, expected }: Accepted): Promise<RawResponse> {
  const { responses } = await exchange(bench, bytes, 1);
  expect(responses.map(({ status, body: text }) => `${status} ${text.toString('latin1')}`)).toEqual([
    expect.stringMatching(/^200 (fine)?$/),
  ]);
  expectSent(bench, expected);
  return responses[0]!;
}

function expectSent(bench: Bench, { sent, body = '', headers = {} }: Accepted['expected']): void {
  const [method = '', below = ''] = sent.split(' ');
  expect(bench.forwarded()).toEqual([`${method} ${BASE}${below}`]);
  const [got] = bench.upstream.requests;
  expect(got?.body.toString('latin1')).toBe(body);
  const lines = Object.keys(headers).map((name) => [name, valuesOf(got!, name)]);
  expect(Object.fromEntries(lines)).toEqual(headers);
}

/** Sends the bytes, waits for `count` responses, and checks what must hold after every case. */
export async function exchange(
  bench: Bench,
  bytes: string | Buffer,
  count: number,
): Promise<{ responses: RawResponse[]; client: RawClient }> {
  bench.upstream.forget();
  const client = await RawClient.open(bench.port);
  client.send(bytes);
  const method = bytes.toString('latin1').split(' ', 1)[0];
  const responses: RawResponse[] = [];
  while (responses.length < count) responses.push(await client.nextResponse(method));
  // After this response, everything that was sent with the earlier requests has been handled.
  await bench.expectAlive();
  client.socket.end();
  await client.ending;
  expect(statusesIn(client.received)).toEqual(responses.map(({ status }) => status));
  bench.expectClean(client.received);
  return { responses, client };
}

function statusesIn(received: Buffer): number[] {
  return [...received.toString('latin1').matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
}

/** Summary of a refusal, after a check that it is a valid problem response. */
export function summaryOf(response: RawResponse): string {
  if (!response.values('content-type').join().startsWith('application/problem+json')) {
    return `${response.status}, which is no problem of wakala's`;
  }
  expect(response.values('x-request-id')).toHaveLength(1);
  expect(response.values('proxy-status')).toHaveLength(1);
  const { status, code, outcome } = response.json();
  expect(status).toBe(response.status);
  return [response.status, code, ...(outcome === 'not_sent' ? [] : [outcome])].join(' ');
}

/** With everything escaped that a terminal would not show. */
export function visible(text: string): string {
  return JSON.stringify(text).replace(/[^\x20-\x7e]/g, (char) => `\\x${char.charCodeAt(0).toString(16)}`);
}
