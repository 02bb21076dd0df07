import { Hono } from 'hono';
import type { Provider } from '../providers/provider.ts';
import { airtel } from './airtel-emulator.ts';
import { jeel } from './jeel-emulator.ts';
import { jenga } from './jenga-emulator.ts';
import { jpay } from './jpay-emulator.ts';
import { kopokopo } from './kopokopo-emulator.ts';
import { mpesa } from './mpesa-emulator.ts';
import { mtnMomo } from './mtn-momo-emulator.ts';
import { paypack } from './paypack-emulator.ts';
import { paypal } from './paypal-emulator.ts';
import { pesapal } from './pesapal-emulator.ts';
import { echo, type EmulatorEnv, type ProviderEmulator } from './provider-emulator.ts';
import { snapBi } from './snap-bi-emulator.ts';
import { vodacomMpesa } from './vodacom-mpesa-emulator.ts';

/** The API of a provider without an emulator. */
const echoEmulator: ProviderEmulator = {
  summary: 'has an API that returns each request: method, path, query and body.',
  api: () => {
    const app = new Hono<EmulatorEnv>();
    app.all('*', echo);
    return app;
  },
};

const PROVIDER_EMULATORS: ReadonlyMap<string, ProviderEmulator> = new Map([
  ['jpay', jpay],
  ['mpesa', mpesa],
  ['jeel', jeel],
  ['paypack', paypack],
  ['mtn-momo', mtnMomo],
  ['pesapal', pesapal],
  ['paypal', paypal],
  ['kopokopo', kopokopo],
  ['jenga', jenga],
  ['airtel', airtel],
  ['vodacom-mpesa', vodacomMpesa],
  ['snap-bi', snapBi],
]);

/** The emulator of a built-in provider. Any other provider has the API that returns each request. */
export function providerEmulatorOf(provider: Provider): ProviderEmulator {
  return PROVIDER_EMULATORS.get(provider.name) ?? echoEmulator;
}
