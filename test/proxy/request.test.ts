import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { ClientRequest } from '../../src/http/client/http-exchange.ts';
import { Via } from '../../src/http/via.ts';
import { ProxiedRequest } from '../../src/proxy/request.ts';
import { Route } from '../../src/proxy/route.ts';
import { Secret } from '../../src/secret.ts';
import { RequestRecord } from '../../src/telemetry/request-record.ts';
import { RouteStats } from '../../src/telemetry/route-stats.ts';
import { fixedTokenSource } from '../../src/tokens/token-source.ts';
import { routeNamed } from './route-of.ts';

/** Starts a request on a route with a token. @returns what was sent so far */
function startRequest(settings: Readonly<Record<string, unknown>>): ClientRequest[] {
  const sent: ClientRequest[] = [];
  const exchange = { abort: () => {}, pause: () => {}, resume: () => {}, release: () => {} };
  const source = fixedTokenSource(new Secret('token'), 0);
  const route = new Route(routeNamed('mpesa', settings), source, {} as never, new RouteStats(), new Via());
  const req = new IncomingMessage(new Socket());
  req.method = 'GET';
  const record = new RequestRecord('request-1', 'GET', []);
  const target = { path: '/pay', query: '' };
  const send = (request: ClientRequest) => {
    sent.push(request);
    return exchange;
  };
  const context = { requestId: 'request-1', client: undefined, target, extraHeaders: [], record, trace: undefined };
  new ProxiedRequest(route, req, undefined, { ...context, requestLog: {} as never, handshake: { send } }).start();
  return sent;
}

const RULE = { calls: ['GET /pay'], values: { digest: { sha256: '{path}' } }, headers: { 'X-Digest': '{digest}' } };

describe('ProxiedRequest', () => {
  it.each([
    ['on a route without rules', {}],
    ['that no rule applies to', { sign: [{ ...RULE, calls: ['GET /other'] }] }],
  ])('sends a request synchronously if it has a token and no body: one %s', (_, settings) => {
    expect(startRequest(settings)).toMatchObject([{ method: 'GET', target: '/pay' }]);
  });

  it('sends a request that is signed later', async () => {
    const sent = startRequest({ sign: [RULE] });
    expect(sent).toEqual([]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(sent[0]?.headers).toContain('X-Digest');
  });
});
