import { Agent } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { type Emulator, startEmulator } from '../../src/emulators/emulator.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { RedisProcess } from '../support/redis-process.ts';
import type { ScenarioOptions } from './never-twice.ts';
import { ProxyChild, writeConfig } from './proxy-child.ts';
import { Counts, expectThat, newResult, recordFailure, type ScenarioResult } from './scenario-result.ts';
import { inParallel, type Scope, withScope } from './scope.ts';
import { sendRequest } from './send-request.ts';

const PATH = '/mpesa/mpesa/c2b/v1/registerurl';
const BODY = JSON.stringify({
  ShortCode: '600000',
  ResponseType: 'Completed',
  ConfirmationURL: 'http://127.0.0.1:9/confirmation',
  ValidationURL: 'http://127.0.0.1:9/validation',
});
/** Clients without pauses per replica. */
const CLIENTS = 4;

/** Replicas of one M-Pesa app that share a Redis. A new token of the emulated provider invalidates the previous one. */
interface Replicas {
  readonly provider: Emulator;
  readonly proxies: readonly ProxyChild[];
}

async function start(scope: Scope, count: number): Promise<Replicas> {
  const redis = await RedisProcess.start((end) => scope.onEnd(end));
  const provider = await startEmulator(mpesa, { port: 0, singleToken: true });
  scope.onEnd(() => provider.close());
  const credentials = Object.fromEntries([...provider.credentials].map(([name, secret]) => [name, secret.reveal()]));
  const route = { provider: 'mpesa', upstream: provider.apiUrl, auth_server: provider.authUrl, credentials };
  const token_store = { redis: redis.url, encryption_key: 'an encryption key for the soak, long enough' };
  const file = writeConfig(scope, { token_store, routes: { '/mpesa/*': route } });
  const proxies = await Promise.all(Array.from({ length: count }, () => ProxyChild.start(scope, file)));
  return { provider, proxies };
}

/** Sends one call through a replica. @returns the status or the error */
async function call(proxy: ProxyChild, agent?: Agent): Promise<string> {
  const options = {
    headers: { 'content-type': 'application/json' },
    body: BODY,
    ...(agent === undefined ? {} : { agent }),
  };
  return await sendRequest(proxy.port, PATH, options).then(
    ({ status }) => String(status),
    (error: unknown) => (error instanceof Error ? error.message : 'no response'),
  );
}

/** `count` requests at once over 8 replicas: without a token, and again after the provider expired all tokens. */
export function replicasAtOnce({ count, seed }: ScenarioOptions): Promise<ScenarioResult> {
  return withScope(async (scope) => {
    const result = newResult('8 replicas at once', seed);
    const { provider, proxies } = await start(scope, 8);
    for (const state of ['cold', 'dead']) {
      const before = provider.stats().exchanges;
      const responses = await Promise.all(Array.from({ length: count }, (_, i) => call(proxies[i % proxies.length]!)));
      countResponses(result, responses);
      const exchanges = provider.stats().exchanges - before;
      result.notes.push(`${state}: ${exchanges} exchange for ${count} requests`);
      expectThat(result, 'doubled', exchanges === 1, `${exchanges} exchanges, ${state}`);
      provider.control({ expire_tokens: true });
    }
    return result;
  });
}

/** Steady load on 4 replicas while the provider expires all tokens every five seconds. */
export function replicasExpired({
  forMs,
  seed,
}: {
  readonly forMs: number;
  readonly seed: number;
}): Promise<ScenarioResult> {
  return withScope(async (scope) => {
    const result = newResult('4 replicas, tokens expired', seed);
    const { provider, proxies } = await start(scope, 4);
    const responses = new Counts();
    const endMs = Date.now() + forMs;
    let expiries = 0;
    const expiring = (async () => {
      for (;;) {
        await delay(5000);
        if (Date.now() >= endMs) return;
        provider.control({ expire_tokens: true });
        expiries += 1;
      }
    })();
    await inParallel(proxies.length * CLIENTS, proxies.length * CLIENTS, async (number) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      while (Date.now() < endMs) responses.add(await call(proxies[number % proxies.length]!, agent));
      agent.destroy();
    });
    await expiring;
    const { exchanges } = provider.stats();
    result.notes.push(`${responses.describe()}; all tokens expired ${expiries} times, ${exchanges} exchanges`);
    result.tried = responses.total;
    result.answered = responses.of('200');
    if (result.answered < result.tried)
      recordFailure(result, 'lost', responses.describe(), result.tried - result.answered);
    // One for the first token and one per expiry. No request may have followed the last expiry.
    const isExpected = exchanges === expiries + 1 || exchanges === expiries;
    expectThat(result, 'doubled', isExpected, `${exchanges} exchanges, expected ${expiries + 1}`);
    return result;
  });
}

function countResponses(result: ScenarioResult, responses: readonly string[]): void {
  result.tried += responses.length;
  for (const response of responses) {
    if (response === '200') result.answered += 1;
    else recordFailure(result, 'lost', `got ${response}`);
  }
}
