import { expect, it } from 'vitest';
import { MAY_HAVE_ACTED, type ProxyError } from '../../../src/errors.ts';
import {
  brokenConnection,
  connectTimeout,
  handlerFailed,
  invalidResponse,
  poolClosed,
  unreachable,
} from '../../../src/http/client/failures.ts';

const HOST = 'api.example.com';
const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });

it.each<[ProxyError, object]>([
  [unreachable(HOST, refused), { kind: 'network', code: 'ECONNREFUSED', host: HOST }],
  [connectTimeout(HOST, 5000), { kind: 'timeout', phase: 'connect', timeoutMs: 5000, host: HOST }],
  [brokenConnection(HOST, undefined), { kind: 'connection_lost', host: HOST }],
  [brokenConnection(HOST, refused), { kind: 'connection_lost', host: HOST }],
  [invalidResponse(HOST, 'it has two heads'), { kind: 'malformed_response', rule: 'it has two heads', host: HOST }],
  [poolClosed(HOST, false), { kind: 'shutdown', host: HOST }],
  [poolClosed(HOST, true), { kind: 'connection_lost', host: HOST }],
  [handlerFailed(new TypeError('x')), { kind: 'internal' }],
])('%s has a reason', (error, reason) => {
  expect(error.reason).toEqual(reason);
});

it.each([brokenConnection(HOST, undefined), invalidResponse(HOST, 'it has two heads'), poolClosed(HOST, true)])(
  '%s has outcome unknown and tells the client to check the outcome',
  (error) => {
    expect(error.outcome).toBe('unknown');
    expect(error.message).toContain(MAY_HAVE_ACTED);
  },
);
