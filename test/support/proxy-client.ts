import { Agent, type IncomingMessage, request } from 'node:http';
import { expect, onTestFinished } from 'vitest';

export interface RequestOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  readonly agent?: Agent;
}

export interface ProxyResponse {
  readonly status: number;
  readonly reason: string;
  /** The first value under this lower-case name. */
  header(lowerCaseName: string): string | undefined;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  readonly text: string;
  json(): Record<string, unknown>;
}

/** Sends a request to a proxy on this machine, over a new connection unless `agent` is given. */
export function sendRequest(port: number, path: string, asked: RequestOptions = {}): Promise<ProxyResponse> {
  const { method = asked.body === undefined ? 'GET' : 'POST', headers = {}, body, agent = false } = asked;
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, path, method, headers: { ...headers }, agent });
    outgoing.on('error', reject);
    outgoing.on('response', (incoming) => void readResponse(incoming).then(resolve, reject));
    outgoing.end(body);
  });
}

export function sendJson(port: number, path: string, json: unknown, headers: Record<string, string> = {}) {
  return sendRequest(port, path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(json),
  });
}

/** Connections that are kept for the next request, until the test ends. */
export function keepAlive(maxSockets = Infinity): Agent {
  const agent = new Agent({ keepAlive: true, maxSockets });
  onTestFinished(() => agent.destroy());
  return agent;
}

/** Asserts that this is a problem response of Wakala. */
export function expectProblem(
  response: { readonly status: number; json(): Record<string, unknown> },
  expected: { readonly status: number; readonly code: string; readonly outcome?: 'not_sent' | 'unknown' },
): void {
  expect({ status: response.status, ...response.json() }).toMatchObject(expected);
}

async function readResponse(incoming: IncomingMessage): Promise<ProxyResponse> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  return {
    status: incoming.statusCode ?? 0,
    reason: incoming.statusMessage ?? '',
    header: (name) => {
      const at = incoming.rawHeaders.findIndex((text, i) => i % 2 === 0 && text.toLowerCase() === name);
      return at === -1 ? undefined : incoming.rawHeaders[at + 1];
    },
    rawHeaders: incoming.rawHeaders,
    body,
    text: body.toString('utf8'),
    json: () => JSON.parse(body.toString('utf8')) as Record<string, unknown>,
  };
}
