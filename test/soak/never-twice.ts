import { type Emulator, startEmulator } from '../../src/emulators/emulator.ts';
import { providerNamed } from '../../src/providers/registry.ts';
import { isFault, paymentOf } from './faults.ts';
import { FaultyUpstream } from './faulty-upstream.ts';
import { checkExecutions, checkOutcome, Ledger } from './ledger.ts';
import { connection, describeOutcome, pay } from './payment-client.ts';
import { ProxyChild, writeConfig } from './proxy-child.ts';
import { Counts, expectThat, newResult, type ScenarioResult } from './scenario-result.ts';
import { eventually, inParallel, type Scope, withScope } from './scope.ts';

export interface ScenarioOptions {
  readonly count: number;
  readonly seed: number;
}

const CLIENTS = 48;

/** After this time, the proxy has closed idle connections to the upstream. */
export const IDLE_TIMEOUT_MS = 15_000;

/**
 * The emulator keeps connections for a minute, so connections to its token endpoint stay open. There are two if a login
 * followed immediately on a refused refresh.
 */
export const TOKEN_SOCKETS = 2;

/** A faulty API with the tokens of an emulated provider. */
export interface FaultyProvider {
  readonly upstream: FaultyUpstream;
  readonly emulator: Emulator;
  readonly ledger: Ledger;
  readonly settings: Readonly<Record<string, unknown>>;
}

export async function faultyProvider(scope: Scope, seed: number): Promise<FaultyProvider> {
  const provider = providerNamed('jpay');
  if (provider === undefined) throw new Error('the provider jpay is missing');
  const ledger = new Ledger();
  const upstream = await FaultyUpstream.start(scope, ledger, seed);
  const emulator = await startEmulator(provider, { port: 0, authPort: 0 });
  scope.onEnd(() => emulator.close());
  const route = {
    provider: 'jpay',
    upstream: upstream.origin,
    auth_server: emulator.authUrl,
    credentials: Object.fromEntries([...emulator.credentials].map(([name, secret]) => [name, secret.reveal()])),
    timeout: '1500ms',
  };
  return { upstream, emulator, ledger, settings: { routes: { '/api/*': route } } };
}

/** Texts that must not be in the log. */
export function secretsOf({ upstream, emulator }: FaultyProvider): string[] {
  return [...upstream.tokens, ...[...emulator.credentials.values()].map((secret) => secret.reveal())];
}

/** POSTs over many kept connections to an upstream with every fault: none is executed twice, and every outcome is true. */
export function neverTwice({ count, seed }: ScenarioOptions): Promise<ScenarioResult> {
  return withScope(async (scope) => {
    const result = newResult('never twice', seed);
    const faulty = await faultyProvider(scope, seed);
    const { ledger } = faulty;
    const proxy = await ProxyChild.start(scope, writeConfig(scope, faulty.settings), {
      secrets: () => secretsOf(faulty),
    });
    const idleSockets = proxy.socketCount();
    const clients = Array.from({ length: CLIENTS }, () => connection(scope));
    let faults = 0;
    const outcomes = new Counts();
    await inParallel(count, CLIENTS, async (number, worker) => {
      const payment = paymentOf(seed, number);
      if (isFault(payment.fault)) faults += 1;
      const outcome = await pay({ port: proxy.port, prefix: '/api', agent: clients[worker]! }, payment);
      checkOutcome(result, payment.id, outcome, ledger);
      outcomes.add(describeOutcome(outcome));
    });
    for (const client of clients) client.destroy();
    const left = await proxy.excessSockets(idleSockets + TOKEN_SOCKETS, IDLE_TIMEOUT_MS);
    expectThat(result, 'leaked', left === 0, `${left} sockets stayed open`);
    expectThat(
      result,
      'leaked',
      await eventually(IDLE_TIMEOUT_MS, () => faulty.upstream.sockets.size === 0),
      'upstream sockets',
    );
    expectThat(result, 'leaked', proxy.leakCount === 0, `${proxy.leakCount} log lines contain a secret`);
    for (const id of ledger.ids) checkExecutions(result, id, ledger);
    expectThat(result, 'lost', ledger.mixedUp === 0, `${ledger.mixedUp} requests had the body of another payment`);
    expectThat(result, 'lost', !proxy.hasEnded, 'the proxy died');
    const { exchanges, refreshes } = faulty.emulator.stats();
    result.notes.push(`${faults} faults, ${exchanges} logins, ${refreshes} refreshes; ${outcomes.describe()}`);
    return result;
  });
}
