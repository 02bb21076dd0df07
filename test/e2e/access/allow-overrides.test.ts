import { describe, expect, it } from 'vitest';
import { routeTo, startProxy } from '../../support/proxy-server.ts';
import { sendRaw } from '../../support/raw-client.ts';
import { RawUpstream, reply, type UpstreamRequest } from '../../support/upstream-raw.ts';

/** Headers by which known servers take a request for one with another method. */
const METHOD_HEADERS = ['X-HTTP-Method-Override', 'X-Method-Override', 'X-HTTP-Method', 'X-Original-Method'];

/** Headers by which known servers take a request for one with another path. */
const PATH_HEADERS = [
  'X-Original-URL',
  'X-Rewrite-URL',
  'X-Original-URI',
  'X-Forwarded-URI',
  'X-Forwarded-Path',
  'X-Forwarded-Prefix',
  'Script-Name',
  'X-Script-Name',
  'Path-Info',
];

/** Every spelling that some server reads as the same name. */
function spellings(name: string): string[] {
  const folded = name.replaceAll('-', '');
  return [name, name.toLowerCase(), name.toUpperCase(), name.replaceAll('-', '_'), folded, `${name}_`, `-${name}`];
}

const ALL = [...METHOD_HEADERS, ...PATH_HEADERS].flatMap(spellings);

/** An API that honours all of them, however they are spelled: what it would do with a request. */
function performed({ method, target, headers }: UpstreamRequest): string {
  const given = (names: readonly string[]) => {
    const folded = new Set(names.map((name) => name.replaceAll('-', '').toLowerCase()));
    return headers.find(([name]) => folded.has(name.toLowerCase().replaceAll(/[-_]/g, '')))?.[1];
  };
  return `${given(METHOD_HEADERS) ?? method} ${given(PATH_HEADERS) ?? target}`;
}

async function start(settings: Readonly<Record<string, unknown>>) {
  const calls: string[] = [];
  const upstream = await RawUpstream.start((request) => {
    calls.push(performed(request));
    return reply(200, 'fine');
  });
  const proxy = await startProxy({ routes: { '/api/*': routeTo(upstream, settings) } });
  const pay = (...lines: string[]) =>
    sendRaw(
      proxy.port,
      ['POST /api/pay HTTP/1.1', 'Host: localhost', 'Content-Length: 0', ...lines, '', ''].join('\r\n'),
    );
  return { calls, upstream, pay };
}

describe('on a route with `allow`', () => {
  it.each(ALL)('an API that honours %s performs only the call that was allowed', async (name) => {
    const { calls, pay } = await start({ allow: ['POST /pay'] });
    const value = /method/i.test(name) ? 'DELETE' : '/refunds/7';
    expect((await pay(`${name}: ${value}`)).status).toBe(200);
    expect(calls).toEqual(['POST /pay']);
  });

  it('several of them in one request are all dropped, and other headers are forwarded', async () => {
    const { calls, upstream, pay } = await start({ allow: ['POST /pay'] });
    await pay('X-Method: 1', ...ALL.map((name) => `${name}: DELETE`), 'X-Original: 2', 'Path: 3', 'X-HTTP: 4');
    expect(calls).toEqual(['POST /pay']);
    const [request] = upstream.requests;
    expect(['x-method', 'x-original', 'path', 'x-http'].map((name) => request?.values(name))).toEqual([
      ['1'],
      ['2'],
      ['3'],
      ['4'],
    ]);
  });

  it('a configured header is sent, whatever its name', async () => {
    const headers = { 'X-HTTP-Method': 'MERGE' };
    const { calls, pay } = await start({ allow: ['POST /pay'], headers });
    await pay('X-HTTP-Method: DELETE');
    expect(calls).toEqual(['MERGE /pay']);
  });
});

describe('on a route without `allow`', () => {
  it.each(PATH_HEADERS.flatMap((name) => [name, name.toLowerCase(), name.replaceAll('-', '_')]))(
    'an API that honours %s performs only the call under the path of `upstream`',
    async (name) => {
      const { calls, pay } = await start({});
      expect((await pay(`${name}: /refunds/7`)).status).toBe(200);
      expect(calls).toEqual(['POST /pay']);
    },
  );

  it('headers that change the method are forwarded: every method is allowed', async () => {
    const { calls, pay } = await start({});
    await pay('X-HTTP-Method-Override: PATCH');
    expect(calls).toEqual(['PATCH /pay']);
  });
});
