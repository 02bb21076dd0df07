import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { exampleFolder, run } from './example.ts';
import { UnreliableProvider } from './unreliable-provider.ts';

const PUSH = '/mpesa/stkpush/v1/processrequest';
const CUSTOMER = '254700000001';

/** A Python with `requests`. Debian's may have it if the first in the PATH does not. Required in CI. */
function findPython(): string | undefined {
  const found = ['python3', '/usr/bin/python3'].find(
    (python) => spawnSync(python, ['-c', 'import requests'], { stdio: 'ignore' }).status === 0,
  );
  if (found !== undefined) return found;
  const how = 'no python3 here has requests: apt-get install python3-requests (or the package of your system)';
  if (process.env['CI'] !== undefined) throw new Error(how);
  process.stderr.write(`${how}; the tests that need it are skipped\n`);
  return undefined;
}

const PYTHON = findPython();

const SCRIPTS = [
  { name: 'curl', command: 'sh', file: 'stk-push.sh', present: true, paid: /^prompted 254700000001: ws_CO_\d+\n$/ },
  {
    name: 'python',
    command: PYTHON ?? 'python3',
    file: 'stk_push.py',
    present: PYTHON !== undefined,
    paid: /^prompted 254700000001: ws_CO_\d+\npaid\n$/,
  },
];

describe.each(SCRIPTS)('examples/$name', { timeout: 60_000 }, ({ name, command, file, present, paid }) => {
  const push = async (wakala: string, phone = CUSTOMER) =>
    await run(command, [path.join(exampleFolder(name), file), 'order42', phone, '100'], {
      cwd: exampleFolder(name),
      env: { WAKALA_URL: wakala, PYTHONDONTWRITEBYTECODE: '1' },
    });

  it.runIf(present)('prompts the phone', async () => {
    const mpesa = await UnreliableProvider.start('mpesa');
    const { code, printed } = await push(mpesa.wakala);
    expect(printed).toMatch(paid);
    expect(code).toBe(0);
    expect(mpesa.calls.filter((call) => call === PUSH)).toHaveLength(1);
  });

  it.runIf(present)('does not prompt twice after a lost response, and says what to wait for', async () => {
    const mpesa = await UnreliableProvider.start('mpesa');
    mpesa.losesResponses = true;
    const { code, printed } = await push(mpesa.wakala);
    expect(printed).toMatch(/^unknown: /);
    expect(printed).toContain('wait for the callback to https://shop.example/mpesa/order42; do not push again');
    expect(code).toBe(1);
    expect(mpesa.calls).toEqual([PUSH]);
  });

  it.runIf(present)('exits with 75 if the push was not sent and can be sent again', async () => {
    const mpesa = await UnreliableProvider.start('mpesa');
    await mpesa.disconnect();
    const { code, printed } = await push(mpesa.wakala);
    expect(printed).toMatch(/^not_sent: /);
    expect(code).toBe(75);
    expect(mpesa.calls).toEqual([]);
  });

  it.runIf(present)('exits with 1 if M-Pesa or Wakala refuses the push', async () => {
    const mpesa = await UnreliableProvider.start('mpesa');
    const refused = await push(mpesa.wakala, '12345');
    expect(refused.printed).toMatch(/^refused: .*Invalid PhoneNumber\n$/);
    expect(refused.code).toBe(1);
    const { wakala } = await UnreliableProvider.start('paypack');
    const noRoute = await push(wakala);
    expect(noRoute.printed).toMatch(/^not_sent: /);
    expect(noRoute.code).toBe(1);
  });

  it.runIf(present)('reports an unreachable proxy', async () => {
    const { code, printed } = await push(`http://127.0.0.1:${await freePort()}`);
    // `requests` does not distinguish a refused connection from a broken one.
    const [outcome, expected] = name === 'curl' ? ['not_sent', 75] : ['unknown', 1];
    expect(printed).toMatch(new RegExp(`^${outcome}: `, 'm'));
    expect(code).toBe(expected);
  });
});
