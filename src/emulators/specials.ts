import type { Provider } from '../providers/provider.ts';
import { echo } from './echo.ts';
import { jeel } from './jeel.ts';
import { jpay } from './jpay.ts';
import { kopokopo } from './kopokopo.ts';
import { mpesa } from './mpesa.ts';
import { mtnMomo } from './mtn-momo.ts';
import { paypack } from './paypack.ts';
import { paypal } from './paypal.ts';
import { pesapal } from './pesapal.ts';
import type { ProviderEmulator } from './special.ts';

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
