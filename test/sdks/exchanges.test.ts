import { describe, expect, it } from 'vitest';
import type { Emulator } from '../../src/emulators/emulator.ts';
import { tableOf } from '../docs/documents.ts';
import { checkoutServerSdk, k2ConnectNode, mpesaNode, mtnMomo, paypackJs } from './sdks.ts';
import { type Login, MADE_UP, startBothWays } from './support.ts';

interface Sdk {
  readonly name: string;
  readonly provider: string;
  /** A process that starts; gives what makes one call. */
  readonly start: (baseUrl: string, login: Login, provider: Emulator) => () => Promise<unknown>;
  /** Exchanges without Wakala for five calls one after another, five at once, and one in each of three processes. */
  readonly alone: readonly [inTurn: number, atOnce: number, inThreeProcesses: number];
}

const SDKS: readonly Sdk[] = [
  {
    name: 'paypack-js',
    provider: 'paypack',
    start: (baseUrl, login) => {
      const { paypack } = paypackJs(baseUrl, login);
      return () => paypack.me();
    },
    alone: [1, 5, 3],
  },
  {
    name: 'mpesa-node',
    provider: 'mpesa',
    start: (baseUrl, login) => {
      const mpesa = mpesaNode(baseUrl, login);
      return () => mpesa.c2bSimulate('254700000001', 100, 'INV-1');
    },
    alone: [5, 5, 3],
  },
  {
    name: 'mtn-momo',
    provider: 'mtn-momo',
    start: (baseUrl, login, { credentials }) => {
      const collections = mtnMomo(baseUrl, login, credentials.get('subscription_key')?.reveal());
      return () => collections.getBalance();
    },
    alone: [1, 5, 3],
  },
  {
    name: 'k2-connect-node',
    provider: 'kopokopo',
    start: (baseUrl, login) => {
      const { TokenService, Webhooks } = k2ConnectNode(baseUrl, login);
      const subscription = { eventType: 'b2b', url: 'https://shop.example/', scope: 'till', scopeReference: '000000' };
      // It keeps no token: an app that keeps none either asks for one each time.
      return async () => {
        const { access_token: accessToken } = await TokenService.getToken();
        return Webhooks.subscribe({ ...subscription, accessToken });
      };
    },
    alone: [5, 5, 3],
  },
  {
    name: '@paypal/checkout-server-sdk',
    provider: 'paypal',
    start: (baseUrl, login) => {
      const { client, orders } = checkoutServerSdk(baseUrl, login);
      const purchase_units = [{ amount: { currency_code: 'USD', value: '10.00' } }];
      return () => client.execute(new orders.OrdersCreateRequest().requestBody({ intent: 'CAPTURE', purchase_units }));
    },
    alone: [1, 1, 3],
  },
];

type Start = () => () => Promise<unknown>;

const RUNS: readonly ((start: Start) => Promise<readonly PromiseSettledResult<unknown>[]>)[] = [
  (start) => {
    const call = start();
    return inTurn([call, call, call, call, call]);
  },
  (start) => {
    const call = start();
    return Promise.allSettled([call, call, call, call, call].map((each) => each()));
  },
  (start) => inTurn([() => start()(), () => start()(), () => start()()]),
];

async function inTurn(calls: readonly (() => Promise<unknown>)[]) {
  const outcomes = [];
  for (const call of calls) outcomes.push(...(await Promise.allSettled([call()])));
  return outcomes;
}

describe.each(SDKS)('$name', ({ name, provider, start, alone }) => {
  it(`makes ${alone.join(', ')} exchanges for calls in turn, at once and in three processes; through Wakala one`, async () => {
    for (const [index, run] of RUNS.entries()) {
      const { direct, right, emulator, baseUrl } = await startBothWays(provider);
      // Not all of these succeed for M-Pesa: each of its tokens kills the former one.
      await run(() => start(direct.apiUrl, right, direct));
      expect(direct.stats()).toMatchObject({ exchanges: alone[index], denied: 0 });

      const outcomes = await run(() => start(baseUrl, MADE_UP, emulator));
      expect(outcomes.map(({ status }) => status)).toEqual(outcomes.map(() => 'fulfilled'));
      expect(emulator.stats()).toMatchObject({ token_requests: 1, exchanges: 1, refused: 0 });
      expect(emulator.stats().api_calls).toBe(outcomes.length);
    }
  });

  it('has these numbers in docs/sdks.md', () => {
    const row = tableOf('docs/sdks.md', '## What is won').find(([sdk]) => sdk === name);
    expect(row?.slice(1, 4)).toEqual(alone.map(String));
  });
});
