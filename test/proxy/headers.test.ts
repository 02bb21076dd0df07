import { describe, expect, it } from 'vitest';
import { ProxyError } from '../../src/errors.ts';
import { countHeaders, headerValue, refuseFramingInConnection } from '../../src/http/header-list.ts';
import { Via } from '../../src/http/via.ts';
import { requestHeaders, responseHeaders, type RouteHeaders } from '../../src/proxy/headers.ts';
import { Redaction } from '../../src/redaction.ts';

const VIA = '1.1 wakala-0123abcd';
const NO_HEADERS: RouteHeaders = { set: [], defaults: [], replaced: new Set(), via: new Via('0123abcd') };
const OURS = ['via', VIA, 'authorization', 'Bearer real'];

/** The forwarded headers for these lines, without those that Wakala adds to every call. */
function forwarded(raw: readonly string[], route = NO_HEADERS): string[] {
  const out = requestHeaders(raw, route, 'Bearer real');
  expect(out.slice(-4)).toEqual(OURS);
  return out.slice(0, -4);
}

function returned(raw: readonly string[], status = 200): string[] {
  return responseHeaders(raw, status, new Redaction(['real-token']));
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof ProxyError) return error.code;
    throw error;
  }
  return 'none';
}

describe('requestHeaders', () => {
  it('forwards lines in their order, including unusual and repeated ones, as written', () => {
    const raw = ['B', '1', 'tx_id', '2', 'a', '3', 'b', '4', 'X-a!#$%&', '\xe9', 'Cookie', 'a', 'Cookie', 'b'];
    expect(forwarded(raw)).toEqual(raw);
  });

  it.each([
    'Connection',
    'Keep-Alive',
    'Proxy-Authorization',
    'Proxy-Connection',
    'Proxy-Anything',
    'TE',
    'Trailer',
    'Transfer-Encoding',
    'Upgrade',
    'Expect',
    'HTTP2-Settings',
    'Host',
    'Content-Length',
    'X-Forwarded-For',
    'X-Forwarded-Proto',
    'X-Forwarded-Host',
    'X_Forwarded_For',
    'Forwarded',
    'keep_alive',
    'transfer_encoding',
    'content_length',
    'proxy_authorization',
    'Proxy',
    'X-Original-URL',
    'x_original_uri',
    'X-Original-Method',
    'X-Rewrite-URL',
    'SCRIPT_NAME',
    'X-Script-Name',
    'Path-Info',
  ])('does not forward %s', (name) => {
    expect(forwarded(['a', '1', name, 'x', 'b', '2'])).toEqual(['a', '1', 'b', '2']);
    expect(forwarded([name.toUpperCase(), 'x'])).toEqual([]);
  });

  it.each([
    'authorization',
    'Authorization',
    'AUTHORIZATION',
    'aUtHoRiZaTiOn',
    'author_ization',
    'Author-ization',
    'authorization_',
    'authorization-',
    'a_u-t_h-o_r-i_z-a_t-i_o-n',
    'AUTHORIZATION__',
    '_authorization',
    '-Authorization',
  ])("drops the client's %s and adds the token once", (name) => {
    const out = requestHeaders([name, 'Bearer theirs', 'a', '1'], NO_HEADERS, 'Bearer real');
    expect(out).toEqual(['a', '1', ...OURS]);
  });

  it.each(['x-authorization', 'authorization2', 'authorizations', 'authorize'])(
    'forwards %s, which is another header',
    (name) => {
      expect(forwarded([name, 'x'])).toEqual([name, 'x']);
    },
  );

  it('drops headers that Connection names, over several lines, in any case and spelling', () => {
    const raw = [
      'Connection',
      'close, X-A ,, x_b',
      'x-a',
      '1',
      'X-B',
      '2',
      'x-c',
      '3',
      'connection',
      'X-C',
      'x-d',
      '4',
    ];
    expect(forwarded(raw)).toEqual(['x-d', '4']);
  });

  it('keeps the token if Connection names authorization', () => {
    expect(forwarded(['Connection', 'authorization, Via', 'Authorization', 'x'])).toEqual([]);
  });

  it('appends to an existing Via', () => {
    const via = (raw: string[]) => headerValue(requestHeaders(raw, NO_HEADERS, 'x'), 'via');
    expect(via(['Via', '1.0 fred'])).toBe(`1.0 fred, ${VIA}`);
    expect(via(['Via', '1.0 fred', 'via', '1.1 a, 1.1 b'])).toBe(`1.0 fred, 1.1 a, 1.1 b, ${VIA}`);
    expect(countHeaders(requestHeaders(['Via', '1.0 fred', 'via', '1.1 b'], NO_HEADERS, 'x'), 'via')).toBe(1);
  });

  it.each([
    VIA,
    `1.0 fred,${VIA}`,
    '1.1 Wakala-0123ABCD , 1.1 b',
    'HTTP/1.1 wakala-0123abcd (a comment)',
    '1.1 wakala-00000001, 1.1 wakala-0123abcd, 1.1 wakala-00000002',
    Array.from({ length: 10 }, (_, i) => `1.1 wakala-0000000${i}`).join(),
  ])('refuses the loop in Via: %s', (value) => {
    expect(codeOf(() => requestHeaders(['Via', value], NO_HEADERS, 'x'))).toBe('loop_detected');
    expect(codeOf(() => requestHeaders(['a', '1', 'via', '1.1 a', 'VIA', value], NO_HEADERS, 'x'))).toBe(
      'loop_detected',
    );
  });

  it.each([
    '1.1 wakala2',
    '1.1 not-wakala',
    '1.1 x.wakala',
    '1.1 wakala-0123abcde',
    '1.1 wakala',
    '1.1 wakala-00000001',
    Array.from({ length: 9 }, (_, i) => `1.1 wakala-0000000${i}`).join(),
  ])('does not treat %s in Via as a loop', (value) => {
    expect(codeOf(() => requestHeaders(['Via', value], NO_HEADERS, 'x'))).toBe('none');
  });

  it('replaces a header of the client with that of the route, in any spelling', () => {
    const route = { ...NO_HEADERS, set: [['X-Mode', 'live'] as const], replaced: new Set(['x-mode']) };
    expect(forwarded(['x-mode', 'test', 'a', '1', 'X_Mode', 'test'], route)).toEqual(['a', '1', 'X-Mode', 'live']);
  });

  it('adds a default only if the client sent none', () => {
    const route = { ...NO_HEADERS, defaults: [['X-Mode', 'live'] as const] };
    expect(forwarded(['a', '1'], route)).toEqual(['a', '1', 'X-Mode', 'live']);
    expect(forwarded(['x-mode', 'test'], route)).toEqual(['x-mode', 'test']);
  });
});

describe('refuseNominatedFraming', () => {
  it.each(['content-length', 'Content-Length', 'transfer-encoding', 'host', 'x, Content_Length'])(
    'refuses Connection: %s',
    (value) => {
      expect(codeOf(() => refuseFramingInConnection(['a', '1', 'Connection', value]))).toBe('bad_request');
      expect(codeOf(() => refuseFramingInConnection(['Connection', 'close', 'connection', value]))).toBe('bad_request');
    },
  );

  it.each(['close', 'keep-alive', 'x-content-length', 'authorization', 'upgrade', ''])(
    'accepts Connection: %j',
    (value) => {
      expect(codeOf(() => refuseFramingInConnection(['Connection', value]))).toBe('none');
    },
  );
});

describe('responseHeaders', () => {
  it('returns lines in their order, with separate Set-Cookie and WWW-Authenticate lines', () => {
    const raw = [
      'Set-Cookie',
      'b=1',
      'tx_id',
      '7',
      'WWW-Authenticate',
      'A',
      'set-cookie',
      'a=2',
      'www-authenticate',
      'B',
    ];
    expect(returned(raw)).toEqual(raw);
  });

  it.each(['Connection', 'Keep-Alive', 'Proxy-Authenticate', 'Proxy-Connection', 'TE', 'Trailer', 'Upgrade'])(
    'does not return %s',
    (name) => {
      expect(returned(['a', '1', name, 'x', name.toLowerCase(), 'y'])).toEqual(['a', '1']);
    },
  );

  it('drops headers that Connection of the response names', () => {
    expect(returned(['X-Hop', '1', 'Connection', 'x-hop', 'a', '2'])).toEqual(['a', '2']);
    expect(returned(['Connection', 'x_hop', 'x_hop', '1', 'X-Hop', '1', 'a', '2'])).toEqual(['a', '2']);
  });

  it.each(['real-token', 'Bearer real-token', 'x=real-token; path=/'])(
    'drops a header that contains the token: %s',
    (value) => {
      expect(returned(['Echo', value, 'a', '1'])).toEqual(['a', '1']);
    },
  );

  it('returns a header that contains almost the token', () => {
    expect(returned(['Echo', 'real-toke', 'a', 'eal-token'])).toEqual(['Echo', 'real-toke', 'a', 'eal-token']);
  });

  it('keeps the Content-Length of the provider, except on a 204', () => {
    expect(returned(['Content-Length', '5'])).toEqual(['Content-Length', '5']);
    expect(returned(['Content-Length', '5'], 304)).toEqual(['Content-Length', '5']);
    expect(returned(['Content-Length', '0'], 204)).toEqual([]);
  });

  it("renames the provider's x-request-id, and drops its wakala-token", () => {
    expect(returned(['X-Request-Id', 'p1', 'Wakala-Token', 'cached'])).toEqual(['x-upstream-request-id', 'p1']);
  });

  it('keeps every byte of a value', () => {
    expect(returned(['a', '\x80\xff'])).toEqual(['a', '\x80\xff']);
  });
});
