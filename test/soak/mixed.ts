import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { TokenEndpointMode } from '../../src/emulators/controls.ts';
import { bodyOf, type Payment, paymentOf } from './faults.ts';
import { judgeOutcome, judgeSendings } from './ledger.ts';
import { type FaultyProvider, faultyProvider, IDLE_AFTER_MS, secretsOf, TOKEN_SOCKETS } from './never-twice.ts';
import { connection, pay, wordsFor } from './payment-client.ts';
import { configIn, configText, ProxyChild } from './proxy-child.ts';
import { Random, randomOf } from '../support/random.ts';
import { must, newRow, type Row, Tally } from './scenario-result.ts';
import { eventually, within } from './scope.ts';

export interface Mixed {
  readonly forMs: number;
  readonly seed: number;
  /** Told once a minute how it goes. */
  readonly report: (line: string) => void;
}

const CLIENTS = 32;
const LEAVERS = 4;
const MOST_PAYMENTS = 5_000_000;
const TOKEN_FAULTS: readonly TokenEndpointMode[] = ['429', '500', 'html', 'down', 'truncated', 'empty'];
const USED_SLACK_MIB = 20;
const RESIDENT_SLACK_MIB = 96;
const MINUTE_MS = 60_000;

type Settings = FaultyProvider['settings'];

/** Everything at once, for a time. */
export function mixed({ forMs, seed, report }: Mixed): Promise<Row> {
  return within(async (scope) => {
    const row = newRow('mixed', seed);
    const faulty = await faultyProvider(scope, seed);
    const { ledger, upstream } = faulty;
    const file = configIn(scope, faulty.settings);
    const proxy = await ProxyChild.start(scope, file, { secrets: () => secretsOf(faulty) });
    const atRest = proxy.sockets();
    const untilMs = Date.now() + forMs;
    const going = () => Date.now() < untilMs && !proxy.ended && next < MOST_PAYMENTS;
    const told = new Tally();
    let next = 0;
    const client = async () => {
      const agent = connection(scope);
      while (going()) {
        const payment = paymentOf(seed, next++);
        const outcome = await pay({ port: proxy.port, prefix: '/api', agent }, payment);
        judgeOutcome(row, payment.id, outcome, ledger);
        told.count(wordsFor(outcome));
        if (outcome.kind === 'problem' && outcome.status === 503) await delay(50);
      }
      agent.destroy();
    };
    const leaver = async () => {
      while (going()) await leave(proxy.port, paymentOf(seed, next++), randomOf(seed, next));
    };
    const line = async () => {
      const { usedMiB, residentMiB } = await proxy.settledMemory();
      const memory = `${usedMiB.toFixed(0)} MiB in use, ${residentMiB.toFixed(0)} MiB resident`;
      const { answered, survived, lost } = row;
      report(
        `${next} payments: ${answered} answered, ${survived} survived, ${lost} lost; ${memory}; ${proxy.sockets()} sockets`,
      );
      return { usedMiB, residentMiB };
    };
    const everyone = Promise.all([
      ...Array.from({ length: CLIENTS }, client),
      ...Array.from({ length: LEAVERS }, leaver),
      tokenFaults(faulty, going, new Random(seed + 1)),
      reloading(proxy, faulty.settings, going, new Random(seed + 2)),
    ]);
    // What is loaded and compiled at first stays.
    await atMost(everyone, Math.min(15_000, forMs / 4));
    const before = await line();
    while (going()) if (!(await atMost(everyone, MINUTE_MS))) await line();
    await everyone;
    const left = await proxy.socketsOver(atRest + TOKEN_SOCKETS, IDLE_AFTER_MS);
    must(row, 'leaked', left === 0, `${left} sockets stayed open`);
    must(row, 'leaked', await eventually(IDLE_AFTER_MS, () => upstream.sockets.size === 0), 'upstream sockets');
    const after = await line();
    const used = Math.round(after.usedMiB - before.usedMiB);
    const resident = Math.round(after.residentMiB - before.residentMiB);
    must(row, 'leaked', used < USED_SLACK_MIB, `${used} MiB more are in use`);
    must(row, 'leaked', resident < RESIDENT_SLACK_MIB, `${resident} MiB more are resident`);
    must(row, 'leaked', proxy.leaks === 0, `${proxy.leaks} log lines hold a secret`);
    for (const id of ledger.ids) judgeSendings(row, id, ledger);
    must(row, 'lost', ledger.mixedUp === 0, `${ledger.mixedUp} requests had the body of another`);
    const { exchanges, refreshes, token_requests: asked } = faulty.emulator.stats();
    row.notes.push(`${used} MiB more in use, ${resident} MiB more resident`);
    row.notes.push(`${asked} token requests, ${exchanges} logins, ${refreshes} refreshes; ${told.shown()}`);
    return row;
  });
}

/** Waits for it, but not for longer than that. @returns whether it is over */
async function atMost(everyone: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const stop = new AbortController();
  const over = everyone.then(() => true);
  const late = delay(timeoutMs, false, { signal: stop.signal }).catch(() => true);
  const first = await Promise.race([over, late]);
  stop.abort();
  return first;
}

/** Sends a payment, or a part of it, and goes. */
async function leave(port: number, payment: Payment, random: Random): Promise<void> {
  const { id } = payment;
  const body = bodyOf(payment);
  const head = `POST /api/pay/${id} HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: ${id}\r\nContent-Length: ${body.length}\r\n\r\n`;
  const whole = Buffer.concat([Buffer.from(head), body]);
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  const closed = once(socket, 'close').catch(() => undefined);
  socket.write(random.chance(0.5) ? whole : whole.subarray(0, random.between(1, whole.length)));
  await delay(random.between(0, 60));
  if (random.chance(0.5)) socket.destroy();
  else socket.resetAndDestroy();
  await closed;
}

/** A token endpoint that fails now and then, in every way it can. */
async function tokenFaults({ emulator }: FaultyProvider, going: () => boolean, random: Random): Promise<void> {
  while (going()) {
    await delay(random.between(2000, 6000));
    const retryAfter = random.chance(0.3) ? 1 : null;
    emulator.control({ token_endpoint: random.pick(TOKEN_FAULTS), retry_after: retryAfter });
    await delay(random.between(200, 1500));
    emulator.control({ token_endpoint: 'ok' });
  }
}

/** A new configuration every few seconds, a third of them bad. */
async function reloading(proxy: ProxyChild, settings: Settings, going: () => boolean, random: Random): Promise<void> {
  while (going()) {
    await delay(random.between(1500, 5000));
    const drain = `${random.between(5, 60)}s`;
    writeFileSync(proxy.file, random.chance(1 / 3) ? 'routes: [' : configText({ ...settings, drain_timeout: drain }));
  }
}
