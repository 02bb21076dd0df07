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
 * The API of a provider without an emulator: returns each request. `path` and `query` are not decoded. `body` is the
 * parsed JSON, the text if it is not JSON, or null if it is empty.
 */
const echo: ProviderEmulator = {
  summary: 'has an API that returns each request: method, path, query and body.',
  api: () => {
    const app = new Hono<EmulatorEnv>();
    app.all('*', async (c) => c.json({ method: c.req.method, ...rawTarget(c), body: await parsedBody(c) }));
    return app;
  },
};

async function parsedBody(c: EmulatorContext): Promise<JsonValue> {
  const text = await c.req.text();
  if (text === '') return null;
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return text;
  }
}

const PROVIDER_EMULATORS: ReadonlyMap<string, ProviderEmulator> = new Map([
  ['jpay', jpay],
  ['mpesa', mpesa],
  ['jeel', jeel],
  ['paypack', paypack],
  ['mtn-momo', mtnMomo],
  ['pesapal', pesapal],
  ['paypal', paypal],
  ['kopokopo', kopokopo],
]);

/** The emulator of a built-in provider. Any other provider has the API that returns each request. */
export function providerEmulatorOf(provider: Provider): ProviderEmulator {
  return PROVIDER_EMULATORS.get(provider.name) ?? echo;
}
