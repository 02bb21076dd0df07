import { type Emulator, startEmulator } from '../../src/emulators/emulator.ts';
import { providerNamed } from '../../src/providers/registry.ts';
import { isFault, paymentOf } from './faults.ts';
import { FaultyUpstream } from './faulty-upstream.ts';
import { judgeOutcome, judgeSendings, Ledger } from './ledger.ts';
import { connection, pay, wordsFor } from './payment-client.ts';
import { configIn, ProxyChild } from './proxy-child.ts';
import { must, newRow, type Row, Tally } from './scenario-result.ts';
import { eventually, inParallel, type Scope, within } from './scope.ts';

export interface Counted {
  readonly count: number;
  readonly seed: number;
}

const CLIENTS = 48;

/** Long enough for idle connections to the upstream to be dropped. */
export const IDLE_AFTER_MS = 15_000;

/**
 * The emulator says that it keeps connections for a minute, so those to its token endpoint stay: two, where a login
 * followed at once on a refused refresh.
 */
export const TOKEN_SOCKETS = 2;

/** A faulty API behind a proxy, with the tokens of an emulated provider. */
export interface FaultyProvider {
  readonly upstream: FaultyUpstream;
  readonly emulator: Emulator;
  readonly ledger: Ledger;
  readonly settings: Readonly<Record<string, unknown>>;
}

export async function faultyProvider(scope: Scope, seed: number): Promise<FaultyProvider> {
  const provider = providerNamed('jpay');
  if (provider === undefined) throw new Error('there is no jpay');
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

/** Everything that must not be in the log. */
export function secretsOf({ upstream, emulator }: FaultyProvider): string[] {
  return [...upstream.tokens, ...[...emulator.credentials.values()].map((secret) => secret.reveal())];
}

/** POSTs by many kept connections to an upstream that breaks in every way there is: none is sent twice, none lies. */
export function neverTwice({ count, seed }: Counted): Promise<Row> {
  return within(async (scope) => {
    const row = newRow('never twice', seed);
    const faulty = await faultyProvider(scope, seed);
    const { ledger } = faulty;
    const proxy = await ProxyChild.start(scope, configIn(scope, faulty.settings), { secrets: () => secretsOf(faulty) });
    const socketsAtRest = proxy.sockets();
    const clients = Array.from({ length: CLIENTS }, () => connection(scope));
    let faults = 0;
    const told = new Tally();
    await inParallel(count, CLIENTS, async (number, worker) => {
      const payment = paymentOf(seed, number);
      if (isFault(payment.fault)) faults += 1;
      const outcome = await pay({ port: proxy.port, prefix: '/api', agent: clients[worker]! }, payment);
      judgeOutcome(row, payment.id, outcome, ledger);
      told.count(wordsFor(outcome));
    });
    for (const client of clients) client.destroy();
    const left = await proxy.socketsOver(socketsAtRest + TOKEN_SOCKETS, IDLE_AFTER_MS);
    must(row, 'leaked', left === 0, `${left} sockets stayed open`);
    must(row, 'leaked', await eventually(IDLE_AFTER_MS, () => faulty.upstream.sockets.size === 0), 'upstream sockets');
    must(row, 'leaked', proxy.leaks === 0, `${proxy.leaks} log lines hold a secret`);
    for (const id of ledger.ids) judgeSendings(row, id, ledger);
    must(row, 'lost', ledger.mixedUp === 0, `${ledger.mixedUp} requests had the body of another`);
    must(row, 'lost', !proxy.ended, 'the proxy died');
    const { exchanges, refreshes } = faulty.emulator.stats();
    row.notes.push(`${faults} faults, ${exchanges} logins, ${refreshes} refreshes; ${told.shown()}`);
    return row;
  });
}
