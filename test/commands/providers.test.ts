import { describe, expect, it } from 'vitest';
import { providers } from '../../src/commands/providers.ts';
import { loadConfig } from '../../src/config/load.ts';
import { variableOf } from '../../src/config/starter.ts';
import { providers as builtIn } from '../../src/providers/registry.ts';
import { madeUp } from '../support/made-up.ts';

function run(name?: string, json = false) {
  let [stdout, stderr] = ['', ''];
  const io = { stdout: (s: string) => void (stdout += s), stderr: (s: string) => void (stderr += s) };
  return { code: providers({ name, json }, io), stdout, stderr };
}

describe('providers', () => {
  it('lists every built-in provider', () => {
    const { code, stdout, stderr } = run();
    expect([code, stderr]).toEqual([0, '']);
    for (const { name, title } of builtIn)
      expect(stdout).toMatch(new RegExp(`^${name} +${title.replace(/[()]/g, '.')} `, 'm'));
  });

  it.each(builtIn.map((provider) => provider.name))('describes %s', (name) => {
    const provider = builtIn.find((known) => known.name === name)!;
    const { code, stdout } = run(name);
    expect(code).toBe(0);
    const hosts = Object.values(provider.hosts ?? {}).flatMap(({ api, auth }) => [api, auth ?? api]);
    const told = [
      ...hosts,
      ...provider.traps,
      ...provider.sources,
      ...provider.credentials.flatMap((f) => [f.name, f.description]),
    ];
    for (const fact of told) expect(stdout).toContain(fact);
  });

  it.each(builtIn.map((provider) => provider.name))(
    'prints a configuration of %s that is valid once its variables are set',
    (name) => {
      const provider = builtIn.find((known) => known.name === name)!;
      const snippet = run(name).stdout.split('Configuration\n')[1] ?? '';
      const variables = provider.credentials.map((field) => variableOf(provider, field.name));
      const env = Object.fromEntries(variables.map((variable) => [variable, madeUp(variable)]));
      const { config, warnings } = loadConfig('snippet.yaml', { readFile: () => snippet, env });
      expect(config.routes[0]?.provider.name).toBe(name);
      expect(warnings).toEqual([]);
    },
  );

  it('describes the token request of M-Pesa', () => {
    const { stdout } = run('mpesa');
    expect(stdout).toContain(
      'GET /oauth/v1/generate?grant_type=client_credentials; Basic {consumer_key}:{consumer_secret}',
    );
    expect(stdout).toContain('404 with errorCode = 404.001.03');
  });

  it('describes the headers, the denied response and the optional credentials of MTN MoMo', () => {
    const { stdout } = run('mtn-momo');
    expect(stdout).toContain('header Ocp-Apim-Subscription-Key: {subscription_key}');
    expect(stdout).toContain('denied    also 500 with error = login_failed');
    expect(stdout).toContain('Headers\n  Ocp-Apim-Subscription-Key: {subscription_key}\n  X-Target-Environment:');
    expect(stdout).toContain('(default: sandbox; required in production)');
    expect(stdout).not.toContain('MTN_MOMO_PRODUCT');
    expect(run('airtel').stdout).toContain('X-Country: {country} (unless the app sends its own)');
  });

  it('prints JSON with --json', () => {
    expect(JSON.parse(run(undefined, true).stdout)).toHaveLength(builtIn.length);
    expect(JSON.parse(run('jeel', true).stdout)).toMatchObject({
      name: 'jeel',
      hosts: { sandbox: { auth: 'https://auth.sandbox.jeel.co' } },
      credentials: [{ name: 'client_id', variable: 'JEEL_CLIENT_ID' }, {}],
    });
    expect(JSON.parse(run('airtel', true).stdout)).toMatchObject({
      denied_token: [],
      headers: [{ name: 'X-Country', mode: 'default' }, {}],
    });
  });

  it('suggests a provider for an unknown name, with exit code 2', () => {
    expect(run('mpsea')).toEqual({
      code: 2,
      stdout: '',
      stderr: 'wakala providers: unknown provider `mpsea`; did you mean `mpesa`?\n',
    });
    expect(run('stripe').stderr).toContain('the providers are jpay, mpesa, jeel, paypack, static');
  });
});
