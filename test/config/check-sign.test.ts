import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { providers } from '../../src/providers/registry.ts';
import { signScopeOf } from '../../src/signing/sign-scope.ts';
import { signProblems } from '../../src/signing/signer.ts';
import { expectProblem, good, problemsOf, type Surroundings, warningsOf } from './validate-text.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const weak = generateKeyPairSync('rsa', { modulusLength: 1024 });
const pem = (pair: typeof rsa) => String(pair.privateKey.export({ type: 'pkcs8', format: 'pem' }));

const surroundings: Surroundings = {
  env: { RSA: pem(rsa), WEAK: pem(weak), PUBLIC: String(rsa.publicKey.export({ type: 'spki', format: 'pem' })) },
};

const CREDENTIALS = 'credentials: {id: i, secret: s, pem: "${RSA}", public: "${PUBLIC}", weak: "${WEAK}", bad: no-key}';

/** A route with these lines, the first of which is line 5, column 5. Warnings of unused credentials do not matter. */
function file(...lines: string[]): string {
  return ['routes:', '  /bank/*:', '    upstream: https://bank.example', `    ${CREDENTIALS}`, ...lines.map((line) => `    ${line}`)].join('\n');
}

/** One rule, in lines 6 to 9. */
function rule({ calls = "['POST /v1/pay']", values = '{}', json = '{}', headers = "{X-Id: '{id}'}" }): string {
  return file(
    'token: none',
    'sign:',
    `  - calls: ${calls}`,
    `    values: ${values}`,
    `    json: ${json}`,
    `    headers: ${headers}`,
  );
}

const SIGN = 'routes./bank/*.sign.0';

describe('a rule', () => {
  it.each([
    ['an unknown key', '', "7:14 SIGN.calls", 'METHOD'],
  ])('%s', () => undefined);
});
