import { Agent } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { type Emulator, startEmulator } from '../../src/emulators/emulator.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { RedisProcess } from '../support/redis-process.ts';
import { ask } from './send-request.ts';
import type { Counted } from './never-twice.ts';
import { configIn, ProxyChild } from './proxy-child.ts';
import { must, newRow, type Row, Tally, wrong } from './scenario-result.ts';
import { inParallel, type Scope, within } from './scope.ts';

const PATH = '/mpesa/mpesa/c2b/v1/registerurl';
const BODY = JSON.stringify({
  ShortCode: '600000',
  ResponseType: 'Completed',
  ConfirmationURL: 'http://127.0.0.1:9/confirmation',
  ValidationURL: 'http://127.0.0.1:9/validation',
});
/** Clients that call without a pause, for each replica. */
const CLIENTS = 4;

/** Replicas of one M-Pesa app with a Redis between them. The emulated provider kills a token when it issues the next. */
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
  const file = configIn(scope, { token_store, routes: { '/mpesa/*': route } });
  const proxies = await Promise.all(Array.from({ length: count }, () => ProxyChild.start(scope, file)));
  return { provider, proxies };
}

/** One call through a replica: what it was answered with. */
async function call(proxy: ProxyChild, agent?: Agent): Promise<string> {
  const asked = {
    headers: { 'content-type': 'application/json' },
    body: BODY,
    ...(agent === undefined ? {} : { agent }),
  };
  return await ask(proxy.port, PATH, asked).then(
    ({ status }) => String(status),
    (error: unknown) => (error instanceof Error ? error.message : 'no answer'),
  );
}

/** `count` requests at once over 8 replicas: without any token, and again after the provider killed all tokens. */
export function replicasAtOnce({ count, seed }: Counted): Promise<Row> {
  return within(async (scope) => {
    const row = newRow('8 replicas at once', seed);
    const { provider, proxies } = await start(scope, 8);
    for (const state of ['cold', 'dead']) {
      const before = provider.stats().exchanges;
      const answers = await Promise.all(Array.from({ length: count }, (_, i) => call(proxies[i % proxies.length]!)));
      countAnswers(row, answers);
      const exchanges = provider.stats().exchanges - before;
      row.notes.push(`${state}: ${exchanges} exchange for ${count} requests`);
      must(row, 'doubled', exchanges === 1, `${exchanges} exchanges, ${state}`);
      provider.control({ expire_tokens: true });
    }
    return row;
  });
}

/** Steady load on 4 replicas while the provider kills all tokens every five seconds. */
export function replicasKilled({ forMs, seed }: { readonly forMs: number; readonly seed: number }): Promise<Row> {
  return within(async (scope) => {
    const row = newRow('4 replicas, tokens killed', seed);
    const { provider, proxies } = await start(scope, 4);
    const answers = new Tally();
    const endMs = Date.now() + forMs;
    let kills = 0;
    const killing = (async () => {
      for (;;) {
        await delay(5000);
        if (Date.now() >= endMs) return;
        provider.control({ expire_tokens: true });
        kills += 1;
      }
    })();
    await inParallel(proxies.length * CLIENTS, proxies.length * CLIENTS, async (number) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      while (Date.now() < endMs) answers.count(await call(proxies[number % proxies.length]!, agent));
      agent.destroy();
    });
    await killing;
    const { exchanges } = provider.stats();
    row.notes.push(`${answers.shown()}; ${kills} times all tokens killed, ${exchanges} exchanges`);
    row.tried = answers.total;
    row.answered = answers.of('200');
    if (row.answered < row.tried) wrong(row, 'lost', answers.shown(), row.tried - row.answered);
    // One for the first token, one for each time that all were killed; the last may not have been needed any more.
    const due = exchanges === kills + 1 || exchanges === kills;
    must(row, 'doubled', due, `${exchanges} exchanges where ${kills + 1} were due`);
    return row;
  });
}

function countAnswers(row: Row, answers: readonly string[]): void {
  row.tried += answers.length;
  for (const answer of answers) {
    if (answer === '200') row.answered += 1;
    else wrong(row, 'lost', `answered ${answer}`);
  }
}
