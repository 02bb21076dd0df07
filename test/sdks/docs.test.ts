import { compileFunction } from 'node:vm';
import type PaypalSdk from '@paypal/checkout-server-sdk';
import type { K2 } from 'k2-connect-node';
import type Mpesa from 'mpesa-node';
import type { MomoClient } from 'mtn-momo';
import type { Paypack } from 'paypack-js';
import { describe, expect, it } from 'vitest';
import { blocksOf, sectionOf } from '../docs/documents.ts';
import { newProcess, startBothWays } from './support.ts';

/** What a block of the page has made, by the names it has there. */
interface Made {
  readonly paypack: Paypack;
  readonly mpesa: Mpesa;
  readonly collections: ReturnType<MomoClient['Collections']>;
  readonly K2: K2;
  readonly paypal: typeof PaypalSdk;
  readonly client: PaypalSdk.core.PayPalHttpClient;
}

type Make = (require: NodeJS.Require, process: { readonly env: Readonly<Record<string, string>> }) => Made;

const FILE = 'docs/sdks.md';
const SUBSCRIPTION = { eventType: 'b2b', url: 'https://shop.example/', scope: 'till', scopeReference: '000000' };

const CALLS: readonly [sdk: string, provider: string, names: string, call: (made: Made) => Promise<unknown>][] = [
  ['paypack-js', 'paypack', 'paypack', ({ paypack }) => paypack.me()],
  ['mpesa-node', 'mpesa', 'mpesa', ({ mpesa }) => mpesa.c2bRegister(SUBSCRIPTION.url, SUBSCRIPTION.url, '600000')],
  ['mtn-momo', 'mtn-momo', 'collections', ({ collections }) => collections.getBalance()],
  ['k2-connect-node', 'kopokopo', 'K2', ({ K2 }) => K2.Webhooks.subscribe({ ...SUBSCRIPTION, accessToken: 'any' })],
  [
    '@paypal/checkout-server-sdk',
    'paypal',
    'paypal, client',
    ({ paypal, client }) =>
      client.execute(
        new paypal.orders.OrdersCreateRequest().requestBody({
          intent: 'CAPTURE',
          purchase_units: [{ amount: { currency_code: 'USD', value: '10.00' } }],
        }),
      ),
  ],
];

describe('docs/sdks.md', () => {
  it.each(CALLS)('points %s at Wakala with the lines it shows', async (sdk, provider, names, call) => {
    const { emulator, proxy } = await startBothWays(provider);
    const require = newProcess(sdk);
    const { version } = require(`${sdk}/package.json`) as { version: string };
    const section = sectionOf(FILE, `### \`${sdk}\` ${version}`);
    const block = blocksOf(FILE).find(({ language, text }) => language === 'js' && section.includes(text));
    const lines = block?.text.replaceAll('127.0.0.1:8080', `127.0.0.1:${proxy.port}`) ?? '';
    const environment = { env: { K2_API_KEY: 'made-up-api-key' } };
    const make = compileFunction(`${lines}\nreturn { ${names} };`, ['require', 'process']) as Make;
    await call(make(require, environment));
    expect(emulator.stats()).toMatchObject({ token_requests: 1, denied: 0, api_calls: 1, refused: 0 });
  });
});
