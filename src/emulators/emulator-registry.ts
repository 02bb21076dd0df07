import { Hono } from 'hono';
import type { JsonValue } from '../json.ts';
import type { Provider } from '../providers/provider.ts';
import { jeel } from './jeel-emulator.ts';
import { jpay } from './jpay-emulator.ts';
import { kopokopo } from './kopokopo-emulator.ts';
import { mpesa } from './mpesa-emulator.ts';
import { mtnMomo } from './mtn-momo-emulator.ts';
import { paypack } from './paypack-emulator.ts';
import { paypal } from './paypal-emulator.ts';
import { pesapal } from './pesapal-emulator.ts';
import { type EmulatorContext, type EmulatorEnv, type ProviderEmulator, rawTarget } from './provider-emulator.ts';

/**
 * The API of a provider that only its definition describes: answers every call with what arrived. `path` and `query`
 * are as they were on the wire; `body` is parsed if it is JSON, else text, and null if there is none.
 */
const echo: ProviderEmulator = {
  does: 'has an API that answers every call with what arrived: method, path, query and body.',
  api: () => {
    const app = new Hono<EmulatorEnv>();
    app.all('*', async (c) => c.json({ method: c.req.method, ...rawTarget(c), body: await shownBody(c) }));
    return app;
  },
};

async function shownBody(c: EmulatorContext): Promise<JsonValue> {
  const text = await c.req.text();
  if (text === '') return null;
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return text;
  }
}

const SPECIALS: ReadonlyMap<string, ProviderEmulator> = new Map([
  ['jpay', jpay],
  ['mpesa', mpesa],
  ['jeel', jeel],
  ['paypack', paypack],
  ['mtn-momo', mtnMomo],
  ['pesapal', pesapal],
  ['paypal', paypal],
  ['kopokopo', kopokopo],
]);

/** What is written out for this provider; any other is emulated from its definition alone, with an API that echoes. */
export function providerEmulator(provider: Provider): ProviderEmulator {
  return SPECIALS.get(provider.name) ?? echo;
}
