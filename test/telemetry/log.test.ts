import { describe, expect, it } from 'vitest';
import { type Io, wantsColour } from '../../src/commands/io.ts';
import { ProxyError } from '../../src/errors.ts';
import type { LogEvent } from '../../src/logger.ts';
import { Secret } from '../../src/secret.ts';
import { createLog, type LogOptions } from '../../src/telemetry/log.ts';

const CANARY = 'canary-secret-0123456789';
const ESCAPE = '\u001b[';

function logging(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const log = createLog({ level: 'debug', format: 'json', tty: false, colour: false, ...options }, (line) =>
    lines.push(line),
  );
  return { log, lines, parsed: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;

describe('createLog', () => {
  it.each([
    ['debug', ['debug', 'info', 'warn', 'error']],
    ['info', ['info', 'warn', 'error']],
    ['warn', ['warn', 'error']],
    ['error', ['error']],
    ['silent', []],
  ] as const)('with level %s writes %s', (level, written) => {
    const { log, parsed } = logging({ level });
    for (const each of LEVELS) log[each]('ready');
    expect(parsed().map(({ level: of }) => of)).toEqual(written);
  });

  it('can change its level while it is in use', () => {
    const { log, lines } = logging({ level: 'error' });
    log.info('draining');
    log.level = 'info';
    log.info('stopped');
    expect(lines).toHaveLength(1);
  });

  it('writes one JSON object per line: level, time, event, fields, message', () => {
    const { log, lines, parsed } = logging();
    log.warn('request_failed', { route: '/api/*', status: 502, path: '/a\nb' });
    expect(lines).toHaveLength(1);
    expect(lines[0]?.indexOf('\n')).toBe(lines[0]!.length - 1);
    const [line] = parsed();
    expect(Object.keys(line ?? {})).toEqual(['level', 'time', 'event', 'route', 'status', 'path', 'msg']);
    expect(line).toMatchObject({ level: 'warn', event: 'request_failed', path: '/a\nb', msg: 'request failed' });
    expect(new Date(String(line?.['time'])).getTime()).toBeGreaterThan(Date.now() - 60_000);
  });

  it.each([
    ['auto', true, true],
    ['auto', false, false],
    ['pretty', false, true],
    ['json', true, false],
  ] as const)('with format %s, on a terminal: %s, is pretty: %s', (format, tty, pretty) => {
    const { log, lines } = logging({ format, tty });
    log.info('ready');
    expect(lines[0]?.startsWith('{')).toBe(!pretty);
  });
});

describe('a pretty line', () => {
  const pretty = (fields: object, event: LogEvent = 'token_exchange_failed', colour = false) => {
    const { log, lines } = logging({ format: 'pretty', colour });
    log.warn(event, { ...fields });
    return lines.join('');
  };

  it('has time, level, message and fields', () => {
    const line = pretty({ provider: 'mpesa', status: 500, took: undefined });
    expect(line).toMatch(/^\d\d:\d\d:\d\d WARN {2}token exchange failed {2}provider=mpesa status=500\n$/);
  });

  it('ends after the message without fields', () => {
    expect(pretty({}, 'draining')).toMatch(/^\d\d:\d\d:\d\d WARN {2}draining\n$/);
  });

  it('quotes values with spaces, quotes or line breaks, and stays one line', () => {
    const line = pretty({ a: 'two words', b: 'a="b"', c: 'x\ny=z', d: { e: [1] }, f: null });
    expect(line).toContain('a="two words" b="a=\\"b\\"" c="x\\ny=z"');
    expect(line).toContain('f=null');
    expect(line.match(/\n/g)).toHaveLength(1);
  });

  it('is coloured only if `colour` is set', () => {
    expect(pretty({ a: 1 })).not.toContain(ESCAPE);
    expect(pretty({ a: 1 }, 'ready', true)).toContain(`${ESCAPE}33mWARN `);
  });

  it.each([
    ['an escape', '\u001b[2J'],
    ['a bell', 'a\u0007b'],
    ['a backspace', 'a\u0008b'],
    ['an 8-bit escape', '/a\u009b2Jb'],
    ['a delete', 'a\u007fb'],
    ['a carriage return', 'a\rb'],
    ['a direction override', 'a\u202eb'],
  ])('escapes %s in a field', (_, value) => {
    const line = pretty({ path: value }, 'request_failed');
    expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/);
  });

  it('is never coloured in JSON format', () => {
    const { log, lines } = logging({ colour: true });
    log.error('ready');
    expect(lines[0]).not.toContain(ESCAPE);
  });
});

describe('the pretty line of a request', () => {
  const ID = '1baa11a0-3543-452e-8fe6-16e80ef67c97';
  const about = { request_id: ID, route: '/mpesa/*', method: 'POST', path: '/stkpush/v1/query' };
  const done = { ...about, status: 200, duration_ms: 12, token: 'cached', attempts: 1 };
  const failed = { ...about, code: 'upstream_unreachable', outcome: 'not_sent', error: 'No connection.' };
  const pretty = (fields: object, event: LogEvent = 'request_finished', options: Partial<LogOptions> = {}) => {
    const { log, lines } = logging({ format: 'pretty', ...options });
    log.info(event, { ...fields });
    return lines.join('').slice('12:00:00 '.length);
  };

  it('has status, method, route, path, duration and the beginning of the id', () => {
    expect(pretty(done)).toBe('200   POST /mpesa/* /stkpush/v1/query  12 ms  #1baa11a0\n');
  });

  it.each([
    ['fetched', 'token fetched'],
    ['replayed', 'token was refused: sent again with a new one'],
    ['not-replayed', 'token was refused: not sent again'],
  ])('explains wakala-token: %s', (token, words) => {
    expect(pretty({ ...done, token })).toContain(`  12 ms  ${words}  #1baa11a0`);
  });

  it('says that Wakala responded itself', () => {
    expect(pretty({ ...about, duration_ms: 12, attempts: 0 })).toMatch(
      /^- {5}POST .* {2}12 ms {2}response from Wakala {2}#/,
    );
  });

  it('has the status, code and reason of a failure', () => {
    const line = pretty({ ...failed, cause: 'ECONNREFUSED' }, 'request_failed');
    const text = '502   POST /mpesa/* /stkpush/v1/query  upstream_unreachable: No connection.  #1baa11a0';
    expect(line).toBe(`${text}  cause=ECONNREFUSED\n`);
  });

  it('says that the provider may have acted on the request, and its status', () => {
    const line = pretty({ ...failed, code: 'upstream_reset', outcome: 'unknown', status: 200 }, 'request_failed');
    expect(line).toContain('the provider may have acted on it  the provider responded 200');
  });

  it('has the level instead of a status for an unknown code', () => {
    expect(pretty({ ...about, code: 'odd' }, 'request_refused')).toMatch(/^INFO {2}POST .* {2}odd {2}#/);
  });

  it.each([
    [101, '36'],
    [204, '32'],
    [302, '36'],
    [404, '33'],
    [503, '31'],
  ])('is coloured by the class of status %s', (status, code) => {
    expect(pretty({ ...done, status }, 'request_finished', { colour: true })).toMatch(
      `${ESCAPE}${code}m${status}  ${ESCAPE}0m`,
    );
  });

  it.each(['request_finished', 'client_disconnected'] as const)('hides phone numbers and tokens of %s', (event) => {
    const line = pretty({ ...done, path: `/to/254712345678/${CANARY.repeat(2)}` }, event);
    expect(line).not.toMatch(/4712345|canary/);
    expect(line).toContain('/to/254');
  });

  it('covers the second attempt if every request has a line', () => {
    expect(pretty(about, 'request_replayed', { requests: true })).toBe('');
    expect(pretty(about, 'request_replayed')).toContain('sent again with a new token');
  });

  it('does not affect JSON lines', () => {
    const { log, parsed } = logging({ requests: true });
    log.info('request_finished', done);
    log.info('request_replayed', about);
    expect(parsed()).toMatchObject([
      { ...done, event: 'request_finished' },
      { ...about, event: 'request_replayed' },
    ]);
  });
});

describe('text of a client or a provider', () => {
  it.each(['json', 'pretty'] as const)('is masked and cut in every %s line', (format) => {
    const { log, lines } = logging({ format });
    const long = `/a/${'b/'.repeat(10_000)}`;
    log.info('emulator_callback', { path: '/to/254712345678', url: 'http://127.0.0.1/cb?token=abc' });
    log.info('token_exchange_failed', {
      path: long,
      provider_said: `{"access_token":"${CANARY}","phone":"254712345678"}`,
    });
    expect(lines.join('')).not.toMatch(/4712345|abc|canary/);
    expect(lines.join('').length).toBeLessThan(2000);
    expect(lines[1]).toContain('[cut]');
  });
});

describe('the pretty line of a callback', () => {
  const pretty = (fields: object) => {
    const { log, lines } = logging({ format: 'pretty' });
    log.info('emulator_callback', { provider: 'mpesa', url: 'http://127.0.0.1:3000/cb?token=abc', ...fields });
    return lines.join('').slice('12:00:00 '.length);
  };

  it('has the URL and the status of the response', () => {
    expect(pretty({ status: 404 })).toBe('404   mpesa called back http://127.0.0.1:3000/cb?token=[redacted]\n');
  });

  it.each([
    ['connect ECONNREFUSED 127.0.0.1:3000', 'connect ECONNREFUSED 127.0.0.1:3000'],
    ['not delivered: not a loopback address', 'not a loopback address'],
  ])('has the reason of a failure: %s', (error, why) => {
    expect(pretty({ error })).toBe(
      `WARN  mpesa could not call back http://127.0.0.1:3000/cb?token=[redacted]  ${why}\n`,
    );
  });
});

describe('colour', () => {
  const io = (env: Record<string, string>, tty: boolean): Io => ({ stdout() {}, stderr() {}, env, tty });

  it.each([
    [{}, true, true],
    [{}, false, false],
    [{ NO_COLOR: '1' }, true, false],
    [{ NO_COLOR: '' }, true, true],
    [{ FORCE_COLOR: '1' }, false, true],
    [{ FORCE_COLOR: '' }, false, true],
    [{ FORCE_COLOR: '0' }, false, false],
    [{ FORCE_COLOR: '0' }, true, true],
    [{ NO_COLOR: '1', FORCE_COLOR: '1' }, false, false],
    [{ TERM: 'dumb' }, false, false],
  ])('with %j, on a terminal: %s, is wanted: %s', (env, tty, wanted) => {
    expect(wantsColour(io(env, tty))).toBe(wanted);
  });
});

describe.each(['json', 'pretty'] as const)('a %s line has no secret', (format) => {
  const FIELDS = ['authorization', 'proxy_authorization', 'token_value', 'access_token', 'refresh_token', 'secret'];

  it.each([...FIELDS, 'password'])('from the field %s', (name) => {
    const { log, lines } = logging({ format });
    log.info('request_finished', { [name]: CANARY, status: 200 });
    expect(lines[0]).not.toContain(CANARY);
    expect(lines[0]).toContain('[redacted]');
    expect(lines[0]).toContain('200');
  });

  it('from a Secret at any depth', () => {
    const { log, lines } = logging({ format });
    const message = `key ${String(new Secret(CANARY))}`;
    log.error('config_error', { key: new Secret(CANARY), deep: { list: [new Secret(CANARY)] } }, message);
    expect(lines.join('')).not.toContain(CANARY);
    expect(lines.join('')).toContain('[redacted]');
  });

  it.each(['error', 'err', 'cause', 'reason'])('from an error in the field %s', (name) => {
    const { log, lines } = logging({ format });
    const cause = new Error(`connect to https://x/${CANARY}`, { cause: new Error(CANARY) });
    log.error('emulator_failed', {
      [name]: new ProxyError('token_unavailable', 'The token request failed.', { cause }),
    });
    log.error('emulator_failed', { [name]: Object.assign(new Error('outer', { cause }), { body: CANARY }) });
    expect(lines).toHaveLength(2);
    expect(lines.join('')).not.toContain(CANARY);
  });

  it('from an error in place of the fields', () => {
    const { log, lines } = logging({ format });
    log.error('emulator_failed', new Error('outer', { cause: new Error(CANARY) }) as never);
    expect(lines).toHaveLength(1);
    expect(lines.join('')).not.toContain(CANARY);
  });
});
