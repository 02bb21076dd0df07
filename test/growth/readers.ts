import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { isHost, matchesFilter, requestDetails, requestView } from '../../src/admin/inspector.ts';
import { decodeContent } from '../../src/http/content-decoding.ts';
import { refuseFramingInConnection } from '../../src/http/header-list.ts';
import { isLinkLocalAddress, isLoopbackName } from '../../src/http/ip-address.ts';
import { decodeFully } from '../../src/http/url-path.ts';
import { Via } from '../../src/http/via.ts';
import { Access } from '../../src/proxy/access.ts';
import { reasonPhrase } from '../../src/proxy/client-response.ts';
import { requestIdOf } from '../../src/proxy/gateway.ts';
import { requestHeaders, responseHeaders } from '../../src/proxy/headers.ts';
import { Locations } from '../../src/proxy/locations.ts';
import { verifyPlaceholder } from '../../src/proxy/login.ts';
import { DeadTokenRules } from '../../src/proxy/replay.ts';
import { parseTarget } from '../../src/proxy/target.ts';
import { TokenPathGuard } from '../../src/proxy/token-paths.ts';
import { Redaction } from '../../src/redaction.ts';
import { JsonText, minified } from '../../src/signing/json-text.ts';
import { readPrivateKey, readPublicKey } from '../../src/signing/keys.ts';
import { Pairs } from '../../src/signing/pairs.ts';
import {
  maskedBody,
  maskedCall,
  maskedHeaders,
  maskedPath,
  maskedQuery,
  maskedUnknownPath,
  maskedUrl,
} from '../../src/telemetry/mask.ts';
import { isSecretName, maskedText } from '../../src/telemetry/mask-text.ts';
import { parentOf } from '../../src/telemetry/otlp.ts';
import { prettyLine } from '../../src/telemetry/pretty.ts';
import { maskedDetails } from '../../src/telemetry/recent-requests.ts';
import { RequestRecord } from '../../src/telemetry/request-record.ts';
import { parseJsonBody, readToken, redactedBody, retryAfterS, serverTimeMs } from '../../src/tokens/token-response.ts';
import { adminConfig } from '../admin/context.ts';
import { routeNamed } from '../proxy/route-of.ts';

const route = routeNamed('paypack');
const guard = new TokenPathGuard(route);
const config = adminConfig();
const access = new Access({ ...config, allowedHosts: ['a.example'], clients: [] }, () => 0);
const known = new Access({ ...config, clients: [{ name: 'shop', key: undefined, routes: undefined }] }, () => 0);
const deadToken = new DeadTokenRules([{ status: 401, body: { 'error.code': 'x' } }]);
const locations = new Locations({ upstream: 'https://api.bank.example/v1', prefix: '/bank' });
const request = new IncomingMessage(new Socket());
const routeHeaders = { set: [], defaults: [['accept', '*/*']], replaced: new Set<string>(), via: new Via() } as const;
const SECRET = 'a-secret-of-some-length-0123456789';
const REDACTION = new Redaction([SECRET]);
const RESPONSE = { accessToken: 'access_token', expiresIn: 'expires_in', expiresAt: 'expires_at' };

function attempt(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}

/** The text as header lines of `length` characters each. */
function lines(name: string, text: string, length: number): string[] {
  return Array.from({ length: text.length / length }, (_, i) => [
    name,
    text.slice(i * length, (i + 1) * length),
  ]).flat();
}

function admit(to: Access, ...rawHeaders: string[]): unknown {
  const req = Object.assign(new IncomingMessage(new Socket()), { method: 'GET', rawHeaders });
  return attempt(() => to.admit(req, rawHeaders[1] ?? ''));
}

function requestRecord(text: string): RequestRecord {
  const record = new RequestRecord('id', 'GET', ['host', text, text, text]);
  record.keepBodies();
  record.onRequestBytes(Buffer.from(text));
  return Object.assign(record, { path: text, query: `?${text}` });
}

/** A JSON object with a member for each 16 characters of the text. */
function jsonMembers(text: string): JsonText {
  const members = Array.from({ length: text.length / 16 }, (_, i) => {
    const part = text.slice(i * 16, (i + 1) * 16);
    return `${JSON.stringify(`${part}${i}`)}:${JSON.stringify([part])}`;
  });
  return new JsonText(`{${members.join(',')}}`);
}

function tokenResponse(body: string, headers: Record<string, string> = {}) {
  return { status: 200, headers, body };
}

function tokenIn(fields: object): unknown {
  const response = tokenResponse(JSON.stringify({ access_token: 'token', ...fields }));
  return attempt(() => readToken(response, RESPONSE, 60, 0));
}

/** All functions that read input from clients, providers or browsers. */
export const READERS: Readonly<Record<string, (text: string) => unknown>> = {
  maskedPath,
  maskedUnknownPath,
  maskedQuery: (text) => maskedQuery(`?${text}`),
  'maskedHeaders, one line': (text) => maskedHeaders(['user-agent', text, text, text]),
  'maskedHeaders, many lines': (text) => maskedHeaders(lines('accept', text, 4)),
  maskedBody: (text) => maskedBody(Buffer.from(text)),
  'maskedBody of JSON': (text) => maskedBody(Buffer.from(JSON.stringify({ a: text, [text]: 1 }))),
  'maskedBody, compressed': (text) => maskedBody(gzipSync(text), { codings: 'gzip' }),
  prettyLine: (text) =>
    prettyLine(JSON.stringify({ level: 'info', time: '', event: 'request_finished', path: text, odd: text }), {
      colour: true,
    }),
  'prettyLine of a callback': (text) =>
    prettyLine(
      JSON.stringify({ level: 'info', time: '', event: 'emulator_callback', url: `http://a/${text}?${text}` }),
      {
        colour: false,
      },
    ),
  'matchesFilter, search': (text) =>
    matchesFilter(requestView(1, maskedDetails(requestRecord(text))), { q: text.slice(text.length / 2) }),
  requestDetails: (text) => requestDetails(1, maskedDetails(requestRecord(text)), config),
  maskedCall: (text) => maskedCall(`POST /${text}?${text}`),
  maskedUrl: (text) => maskedUrl(`http://a/${text}?${text}`),
  maskedText: (text) => maskedText(text),
  isSecretName,
  isHost,
  isLoopbackName,
  isLinkLocalAddress,
  parseTarget: (text) => attempt(() => parseTarget(`/${text}`, 'a')),
  'parseTarget, absolute': (text) => attempt(() => parseTarget(`http://${text}`, text)),
  decodeFully,
  'TokenPathGuard.classify': (text) => guard.classify('POST', `/auth/${text}`),
  'Locations, links': (text) => locations.rewrite('link', text, request),
  'Locations, a path': (text) => locations.rewrite('location', `/v1/${text}`, request),
  'Locations, a refresh': (text) => locations.rewrite('refresh', text, request),
  'requestHeaders, one line': (text) => attempt(() => requestHeaders(['a', text, text, 'b'], routeHeaders, 'Bearer x')),
  'requestHeaders, many Via lines': (text) => attempt(() => requestHeaders(lines('via', text, 4), routeHeaders, 'x')),
  'requestHeaders, many Connection lines': (text) =>
    attempt(() => requestHeaders(lines('connection', text, 4), routeHeaders, 'x')),
  'requestHeaders, one Connection line': (text) =>
    attempt(() => requestHeaders(['connection', text], routeHeaders, 'x')),
  refuseFramingInConnection: (text) => attempt(() => refuseFramingInConnection(['connection', text])),
  responseHeaders: (text) =>
    attempt(() => responseHeaders([...lines('a', text, 4), 'b', text, 'connection', text], 200, REDACTION)),
  reasonPhrase: (text) => reasonPhrase(text, 200, REDACTION),
  requestIdOf: (text) => requestIdOf(['x-request-id', text]),
  'Access.admit, Host': (text) => admit(access, 'host', text),
  'Access.admit, Origin': (text) => admit(access, 'host', 'localhost', 'origin', text),
  'Access.admit, Bearer': (text) => admit(known, 'host', 'localhost', 'authorization', `Bearer ${text}`),
  'Access.admit, Basic': (text) =>
    admit(known, 'host', 'localhost', 'authorization', `Basic ${Buffer.from(text).toString('base64')}`),
  'Access.admit, other credentials': (text) => admit(known, 'host', 'localhost', 'authorization', text),
  verifyPlaceholder: (text) => verifyPlaceholder(`a.${text}.${text}`, () => undefined, 0),
  'DeadTokenRules.inspectBody': (text) => deadToken.inspectBody(401, Buffer.from(text), ['content-type', text]),
  'decodeContent, codings': (text) =>
    attempt(() => decodeContent(Buffer.from('{}'), lines('gzip,', text, 4).join(','), 64)),
  parentOf: (text) => parentOf(['traceparent', `00-${text}`, 'traceparent', text]),
  parseJsonBody: (text) => parseJsonBody(tokenResponse(text)),
  'readToken, body': (text) => attempt(() => readToken(tokenResponse(text), RESPONSE, 60, 0)),
  'readToken, token': (text) => tokenIn({ access_token: text }),
  'readToken, expires_in': (text) => tokenIn({ expires_in: text }),
  'readToken, expires_at': (text) => tokenIn({ expires_at: text }),
  'readToken, JWT': (text) => tokenIn({ access_token: `a.${Buffer.from(text).toString('base64url')}.c` }),
  serverTimeMs: (text) => serverTimeMs(tokenResponse('', { date: `Mon, ${text}` })),
  retryAfterS: (text) => retryAfterS(tokenResponse('', { 'retry-after': text }), 0),
  'redact, a short secret': (text) => REDACTION.redact(text),
  'redact, a near match of a secret': (text) => new Redaction([`${text.slice(0, 2000)}x`]).redact(text),
  'redactedBody, many secrets': (text) => redactedBody(text, [`${text.slice(0, 4000)}x`, SECRET, 'b', text]),
  JsonText: (text) => attempt(() => new JsonText(text).membersAt([])),
  'JsonText, a nested value': (text) => attempt(() => new JsonText(`{"a":${text},"b":1}`).scalarAt(['b'])),
  'JsonText, a string': (text) => new JsonText(JSON.stringify({ a: text })).scalarAt(['a']),
  'JsonText, many members': (text) => jsonMembers(text).membersAt([]),
  'JsonText.withMembers': (text) => jsonMembers(text).withMembers(new Map([[text, text]])),
  'JsonText.scalarAt, an element': (text) =>
    new JsonText(JSON.stringify({ a: Array.from(text) })).scalarAt(['a', String(text.length - 1)]),
  minified: (text) => attempt(() => minified(text)),
  'minified, with strings': (text) => minified(JSON.stringify([text, Array.from(text)], null, 1)),
  'Pairs.fields': (text) => attempt(() => new Pairs(text).fields),
  'Pairs.valueOf': (text) => attempt(() => new Pairs(`a=${text}`).valueOf('a')),
  'Pairs.withFields': (text) => attempt(() => new Pairs(text).withFields(new Map([[text, text]]))),
  readPrivateKey,
  'readPublicKey, PEM': (text) => readPublicKey(`-----BEGIN PUBLIC KEY-----${text}`),
};
