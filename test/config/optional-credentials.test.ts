import { describe, expect, it } from 'vitest';
import { EMULATED_PUBLIC_KEY } from '../../src/emulators/emulated-keys.ts';
import { expectProblem, problemsOf, routeOf, type Surroundings, warningsOf } from './validate-text.ts';

const KEY = { env: { PUBLIC_KEY: EMULATED_PUBLIC_KEY } };

/** A route whose credentials are in line 4, from column 5 on. */
function mpesa(credentials = ''): string {
  return file('mpesa', `consumer_key: k, consumer_secret: s${credentials}`);
}

function airtel(credentials = ''): string {
  return file('airtel', `client_id: i, client_secret: s, country: KE, currency: KES${credentials}`);
}

function file(provider: string, credentials: string): string {
  return ['routes:', '  /x/*:', `    provider: ${provider}`, `    credentials: {${credentials}}`, ''].join('\n');
}

/** The optional credentials that switch rules of the provider on. */
function switchedOn(text: string, surroundings?: Surroundings) {
  const { sign = [] } = routeOf(text, surroundings).provider;
  return [...new Set(sign.map((rule) => ('when' in rule ? rule.when : undefined)))];
}

describe('an optional credential', () => {
  it.each([
    ['left out', ''],
    ['empty', ", passkey: ''"],
    ['an empty variable', ', passkey: "${MPESA_PASSKEY}"'],
    ['an empty default', ', passkey: "${MISSING:-}"'],
  ])('is off if it is %s', (_, credentials) => {
    const surroundings = { env: { MPESA_PASSKEY: '' } };
    expect(problemsOf(mpesa(credentials), surroundings)).toEqual([]);
    expect(warningsOf(mpesa(credentials), surroundings)).toEqual([]);
    expect(switchedOn(mpesa(credentials), surroundings)).toEqual([]);
    expect(routeOf(mpesa(credentials), surroundings).credentials.has('passkey')).toBe(false);
  });

  it('switches the rules of the provider on', () => {
    expect(switchedOn(mpesa(', passkey: p'))).toEqual(['passkey']);
    expect(switchedOn(mpesa(', passkey: "${P:-p}"'))).toEqual(['passkey']);
  });

  it('needs the others that its rules use', () => {
    expectProblem(
      problemsOf(mpesa(', initiator_password: p')),
      '4:5 routes./x/*.credentials.initiator',
      '`initiator` is missing; `initiator_password` needs it',
    );
    expectProblem(
      problemsOf(airtel(', pin: "1"')),
      '4:5 routes./x/*.credentials.public_key',
      '`public_key` is missing; `pin` needs it',
    );
    // The certificate has a default.
    expect(problemsOf(mpesa(', initiator: i, initiator_password: p'))).toEqual([]);
  });

  it('is warned of if it has no effect alone', () => {
    expect(warningsOf(mpesa(', initiator: i'))).toEqual([
      expect.stringContaining('has no effect without `initiator_password`'),
    ]);
    expect(warningsOf(airtel(', public_key: "${PUBLIC_KEY}"'), KEY)).toEqual([
      expect.stringContaining('has no effect without `pin` or `message_signing`'),
    ]);
  });

  it.each([
    ['missing', ', passkey: "${MISSING}"'],
    ['empty', ", passkey: ''"],
    ['set', ', passkey: real'],
  ])('is on in an emulated configuration whose file has it, with a value that is %s', (_, credentials) => {
    expect(switchedOn(mpesa(credentials), { emulated: true })).toEqual(['passkey']);
  });

  it('is off in an emulated configuration whose file does not have it', () => {
    expect(switchedOn(mpesa(), { emulated: true })).toEqual([]);
  });

  it('gets the others that it needs in an emulated configuration', () => {
    const { credentials } = routeOf(mpesa(', initiator_password: "${MISSING}"'), { emulated: true });
    expect(['initiator', 'initiator_password', 'certificate'].filter((name) => !credentials.has(name))).toEqual([]);
  });
});

describe('a credential that is true or false', () => {
  const flag = (value: string) => airtel(`, public_key: "\${PUBLIC_KEY}", message_signing: ${value}`);

  it.each(['true', '"true"', '"${ON:-true}"'])('is on with %s', (value) => {
    expect(switchedOn(flag(value), KEY)).toEqual(['message_signing']);
  });

  it.each(['false', '"false"', '""', '"${OFF:-}"', '"${OFF:-false}"'])('is off with %s', (value) => {
    expect(problemsOf(flag(value), KEY)).toEqual([]);
    expect(switchedOn(flag(value), KEY)).toEqual([]);
  });

  it.each(['yes', 'True!', 'ture', '"1"'])('cannot be %s', (value) => {
    expectProblem(
      problemsOf(flag(value), KEY),
      '4:125 routes./x/*.credentials.message_signing',
      'must be `true` or `false`',
    );
  });

  it('is the only kind of credential that may be a boolean', () => {
    const problems = problemsOf(mpesa(', passkey: true'));
    expectProblem(problems, '4:65 routes./x/*.credentials.passkey', 'must be a text; put it in quotes');
  });
});
