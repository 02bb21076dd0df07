import { expect } from 'vitest';
import { RawClient, type RawResponse } from '../../support/raw-client.ts';
import type { Bench } from './bench.ts';
import { request, summaryOf } from './request-case.ts';
import { BASE, type Respond } from './strict-upstream.ts';

/** The response of an upstream, and the expected response to the client. */
export interface ResponseCase {
  readonly name: string;
  readonly response: string | Buffer | Respond;
  /** Start of the request. Default: `GET`. */
  readonly method?: string;
  /** Name of the route. Default: `api`. */
  readonly route?: string;
  readonly expected: Relayed | Failed;
  /** How often the upstream receives the request. Default: once. */
  readonly sendings?: number;
}

/** The response of the upstream. */
export interface Relayed {
  readonly status: number;
  readonly body?: string | Buffer;
  readonly headers?: Readonly<Record<string, readonly string[]>>;
}

/** Status, code and outcome of a problem response, or a broken connection. */
export type Failed = `50${2 | 4} ${string} unknown` | 'broken off';

export function relayed(status: number, body?: string | Buffer, headers: Relayed['headers'] = {}): Relayed {
  return body === undefined ? { status, headers } : { status, body, headers };
}

/** The head of a response. */
export function head(start: string, ...lines: string[]): string {
  return [start, ...lines, '', ''].join('\r\n');
}

/**
 * Sends a request over a reused connection to the upstream. Expects the response of the case, the request at the
 * upstream, and that the next requests get their own responses.
 */
export async function expectResponse(bench: Bench, row: ResponseCase) {
  const { response, method = 'GET', route = 'api', expected, sendings = 1 } = row;
  await bench.expectAlive();
  const target = `${BASE}/${route}/hostile`;
  bench.upstream.forget();
  bench.upstream.responses.set(target, typeof response === 'function' ? response : () => response);
  const client = await RawClient.open(bench.port);
  const length = method === 'POST' ? ['Content-Length: 4'] : [];
  client.send(request(`${method} /${route}/hostile`, ...length) + (method === 'POST' ? 'body' : ''));
  const got = await responseOf(client, method);
  if (typeof expected === 'string') {
    expect(got === undefined ? 'broken off' : summaryOf(got)).toBe(expected);
  } else {
    expectPassed(got, expected);
  }
  await bench.expectAlive();
  await bench.expectAlive();
  expect(bench.forwarded()).toEqual(Array<string>(sendings).fill(`${method} ${target}`));
  client.socket.end();
  await client.ending;
  expect(client.received.toString('latin1').match(/HTTP\/1\.1 \d{3} /g)).toHaveLength(1);
  bench.expectClean(client.received);
  return { client, got };
}

async function responseOf(client: RawClient, method: string): Promise<RawResponse | undefined> {
  try {
    return await client.nextResponse(method);
  } catch {
    return undefined;
  }
}

function expectPassed(got: RawResponse | undefined, { status, body, headers = {} }: Relayed): void {
  expect(got?.status).toBe(status);
  expect(got!.values('x-request-id')).toHaveLength(1);
  expect(got!.values('wakala-token').join()).toMatch(/^(cached|fetched)$/);
  expect(got!.values('content-length').length + got!.values('transfer-encoding').length).toBeLessThanOrEqual(1);
  if (body !== undefined) expect(got!.body.equals(Buffer.from(body as string, 'latin1'))).toBe(true);
  expect(Object.fromEntries(Object.keys(headers).map((name) => [name, got!.values(name)]))).toEqual(headers);
}
