import { compileFunction } from 'node:vm';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startEmulator } from '../../src/emulators/emulator.ts';
import { providerNamed } from '../../src/providers/registry.ts';
import { routeToEmulator, startProxy } from '../support/proxy-server.ts';
import { blocksOf } from './documents.ts';

type StkPush = (order: unknown) => Promise<{ readonly ResponseCode?: string }>;
type Globals = { readonly env: Readonly<Record<string, string>> };

const [before = '', after = '', ...more] = blocksOf('README.md').flatMap(({ language, text }) =>
  language === 'js' ? text : [],
);

async function mpesa() {
  const provider = providerNamed('mpesa')!;
  const emulator = await startEmulator(provider, { port: 0 });
  onTestFinished(() => emulator.close());
  return { provider, emulator, order: provider.samples.call.json };
}

describe('the README', () => {
  it('has a program before Wakala and one after it, and no other', () => {
    expect(more).toEqual([]);
    expect(before).toContain('getToken');
    expect(after).not.toMatch(/token|authorization|passkey|password/i);
  });

  it('shows a token code that works, and gets over a dead token', async () => {
    const { emulator, order } = await mpesa();
    const code = before.replace('https://sandbox.safaricom.co.ke', emulator.apiUrl);
    const make = compileFunction(`${code}\nreturn stkPush;`, ['process']) as (process: Globals) => StkPush;
    const value = (name: string) => emulator.credentials.get(name)?.reveal() ?? '';
    const env = {
      MPESA_CONSUMER_KEY: value('consumer_key'),
      MPESA_CONSUMER_SECRET: value('consumer_secret'),
      MPESA_PASSKEY: value('passkey'),
    };
    const stkPush = make({ env });
    expect(await stkPush(order)).toMatchObject({ ResponseCode: '0' });
    emulator.control({ expire_tokens: true });
    expect(await stkPush(order)).toMatchObject({ ResponseCode: '0' });
    expect(emulator.stats()).toMatchObject({ exchanges: 2, api_calls: 3, refused: 1 });
  });

  it('shows a call through Wakala that does the same', async () => {
    const { emulator, order } = await mpesa();
    const proxy = await startProxy({ routes: { '/mpesa/*': routeToEmulator(emulator) } });
    const code = after.replace('127.0.0.1:8080', `127.0.0.1:${proxy.port}`);
    const body = `return (async () => { ${code}\nreturn res.json(); })();`;
    const stkPush = compileFunction(body, ['order']) as StkPush;
    expect(await stkPush(order)).toMatchObject({ ResponseCode: '0' });
    emulator.control({ expire_tokens: true });
    expect(await stkPush(order)).toMatchObject({ ResponseCode: '0' });
    expect(emulator.stats()).toMatchObject({ exchanges: 2, api_calls: 3, refused: 1 });
  });
});
