import { airtel } from './airtel.ts';
import { azampay } from './azampay.ts';
import { clickpesa } from './clickpesa.ts';
import { coopBank } from './coop-bank.ts';
import { flutterwave } from './flutterwave.ts';
import { jeel } from './jeel.ts';
import { jenga } from './jenga.ts';
import { jpay } from './jpay.ts';
import { kcbBuni } from './kcb-buni.ts';
import { kopokopo } from './kopokopo.ts';
import { mpesa } from './mpesa.ts';
import { mtnMomo } from './mtn-momo.ts';
import { oauth2 } from './oauth2.ts';
import { orangeMoney } from './orange-money.ts';
import { paypack } from './paypack.ts';
import { paypal } from './paypal.ts';
import { pesapal } from './pesapal.ts';
import type { Provider } from './provider.ts';
import { snapBi } from './snap-bi.ts';
import { fixedToken } from './static.ts';
import { tingg } from './tingg.ts';
import { vodacomMpesa } from './vodacom-mpesa.ts';

/** Every built-in provider. To add one, write a file beside this one and add a line here. */
export const providers: readonly Provider[] = [
  jpay,
  mpesa,
  jeel,
  paypack,
  fixedToken,
  oauth2,
  mtnMomo,
  airtel,
  pesapal,
  flutterwave,
  paypal,
  jenga,
  kcbBuni,
  coopBank,
  kopokopo,
  tingg,
  orangeMoney,
  azampay,
  clickpesa,
  vodacomMpesa,
  snapBi,
];

export function providerNamed(name: string): Provider | undefined {
  return providers.find((provider) => provider.name === name);
}
