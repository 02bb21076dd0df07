import { describe, expect, it } from 'vitest';
import { type Io, wantsColour } from '../../src/commands/io.ts';
import { ProxyError } from '../../src/errors.ts';
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

describe('a log', () => {
  it.each([
    ['debug', ['debug', 'info', 'warn', 'error']],
    ['info', ['info', 'warn', 'error']],
    ['warn', ['warn', 'error']],
    ['error', ['error']],
    ['silent', []],
  ] as const)('of level %s writes %s', (level, written) => {
    const { log, parsed } = logging({ level });
    for (const each of LEVELS) log[each]({}, each);
    expect(parsed().map(({ level: of }) => of)).toEqual(written);
  });

  it('can be given another level while it is in use', () => {
    const { log, lines } = logging({ level: 'error' });
    log.info({}, 'not seen');
    log.level = 'info';
    log.info({}, 'seen');
    expect(lines).toHaveLength(1);
  });

  it('writes one JSON object a line: level, time, fields, message', () => {
    const { log, lines, parsed } = logging();
    log.warn({ route: '/api/*', status: 502, path: '/a\nb' }, 'request\nfailed');
    expect(lines).toHaveLength(1);
    expect(lines[0]?.indexOf('\n')).toBe(lines[0]!.length - 1);
    const [line] = parsed();
    expect(line).toMatchObject({ level: 'warn', route: '/api/*', status: 502, path: '/a\nb', msg: 'request\nfailed' });
    expect(new Date(String(line?.['time'])).getTime()).toBeGreaterThan(Date.now() - 60_000);
  });

  it.each([
    ['auto', true, true],
    ['auto', false, false],
    ['pretty', false, true],
    ['json', true, false],
  ] as const)('of format %s, on a terminal: %s, is for people: %s', (format, tty, pretty) => {
    const { log, lines } = logging({ format, tty });
    log.info({}, 'ready');
    expect(lines[0]?.startsWith('{')).toBe(!pretty);
  });
});

describe('a line for people', () => {
  const pretty = (fields: object, message: string, colour = false) => {
    const { log, lines } = logging({ format: 'pretty', colour });
    log.warn({ ...fields }, message);
    return lines.join('');
  };

  it('has time, level, message and fields', () => {
    const line = pretty({ provider: 'mpesa', status: 500, took: undefined }, 'token exchange failed');
    expect(line).toMatch(/^\d\d:\d\d:\d\d WARN {2}token exchange failed {2}provider=mpesa status=500\n$/);
  });

  it('has no fields where there are none', () => {
    expect(pretty({}, 'draining')).toMatch(/^\d\d:\d\d:\d\d WARN {2}draining\n$/);
  });

  it('quotes what would fall apart, and stays one line', () => {
    const line = pretty({ a: 'two words', b: 'a="b"', c: 'x\ny=z', d: { e: [1] }, f: null }, 'odd');
    expect(line).toContain('a="two words" b="a=\\"b\\"" c="x\\ny=z"');
    expect(line).toContain('f=null');
    expect(line.match(/\n/g)).toHaveLength(1);
  });

  it('is coloured only if that is wanted', () => {
    expect(pretty({ a: 1 }, 'message')).not.toContain(ESCAPE);
    expect(pretty({ a: 1 }, 'message', true)).toContain(`${ESCAPE}33mWARN `);
  });

  it.each([
    ['an escape', '\u001b[2J'],
    ['a bell', 'a\u0007b'],
    ['a backspace', 'a\u0008b'],
    ['an 8-bit escape', '/a\u009b2Jb'],
    ['a delete', 'a\u007fb'],
    ['a carriage return', 'a\rb'],
    ['a direction override', 'a\u202eb'],
  ])('lets %s in a field do nothing to the terminal', (_, value) => {
    const line = pretty({ path: value }, 'request failed');
    expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/);
  });

  it('is never coloured where it is JSON', () => {
    const { log, lines } = logging({ colour: true });
    log.error({}, 'message');
    expect(lines[0]).not.toContain(ESCAPE);
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
  ])('with %j on a terminal: %s is wanted: %s', (env, tty, wanted) => {
    expect(wantsColour(io(env, tty))).toBe(wanted);
  });
});

describe.each(['json', 'pretty'] as const)('no secret is in a %s line', (format) => {
  const FIELDS = ['authorization', 'proxy_authorization', 'token_value', 'access_token', 'refresh_token', 'secret'];

  it.each([...FIELDS, 'password'])('whose field %s holds one', (name) => {
    const { log, lines } = logging({ format });
    log.info({ [name]: CANARY, status: 200 }, 'request');
    expect(lines[0]).not.toContain(CANARY);
    expect(lines[0]).toContain('[redacted]');
    expect(lines[0]).toContain('200');
  });

  it('whose field holds a Secret, at any depth', () => {
    const { log, lines } = logging({ format });
    log.error({ key: new Secret(CANARY), deep: { list: [new Secret(CANARY)] } }, `key ${String(new Secret(CANARY))}`);
    expect(lines.join('')).not.toContain(CANARY);
    expect(lines.join('')).toContain('[redacted]');
  });

  it.each(['error', 'err', 'cause', 'reason'])('whose field %s is an error caused by one', (name) => {
    const { log, lines } = logging({ format });
    const cause = new Error(`connect to https://x/${CANARY}`, { cause: new Error(CANARY) });
    log.error({ [name]: new ProxyError('token_unavailable', 'No token could be had.', { cause }) }, 'failed');
    log.error({ [name]: Object.assign(new Error('outer', { cause }), { body: CANARY }) }, 'failed');
    expect(lines).toHaveLength(2);
    expect(lines.join('')).not.toContain(CANARY);
  });

  it('that is made of an error alone', () => {
    const { log, lines } = logging({ format });
    log.error(new Error('outer', { cause: new Error(CANARY) }) as never, 'failed');
    expect(lines).toHaveLength(1);
    expect(lines.join('')).not.toContain(CANARY);
  });
});
