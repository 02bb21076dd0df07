import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { TokenEndpointMode } from '../../src/emulators/controls.ts';
import { Random, randomOf } from '../support/random.ts';
import { bodyOf, type Payment, paymentOf } from './faults.ts';
import { checkExecutions, checkOutcome } from './ledger.ts';
import { type FaultyProvider, faultyProvider, IDLE_TIMEOUT_MS, secretsOf, TOKEN_SOCKETS } from './never-twice.ts';
import { connection, describeOutcome, pay } from './payment-client.ts';
import { configText, ProxyChild, writeConfig } from './proxy-child.ts';
import { Counts, expectThat, newResult, type ScenarioResult } from './scenario-result.ts';
import { eventually, withScope } from './scope.ts';

export interface Mixed {
  readonly forMs: number;
  readonly seed: number;
  /** Called once a minute with the progress. */
  readonly report: (line: string) => void;
}

const CLIENTS = 32;
const LEAVING_CLIENTS = 4;
const MAX_PAYMENTS = 5_000_000;
const TOKEN_FAULTS: readonly TokenEndpointMode[] = ['429', '500', 'html', 'down', 'truncated', 'empty'];
const USED_SLACK_MIB = 20;
const RESIDENT_SLACK_MIB = 96;
const MINUTE_MS = 60_000;

type Settings = FaultyProvider['settings'];

/** Payments, leaving clients, token faults and reloads at once, for a time. */
export function mixed({ forMs, seed, report }: Mixed): Promise<ScenarioResult> {
  return withScope(async (scope) => {
    const result = newResult('mixed', seed);
    const faulty = await faultyProvider(scope, seed);
    const { ledger, upstream } = faulty;
    const file = writeConfig(scope, faulty.settings);
    const proxy = await ProxyChild.start(scope, file, { secrets: () => secretsOf(faulty) });
    const idleSockets = proxy.socketCount();
    const untilMs = Date.now() + forMs;
    const isRunning = () => Date.now() < untilMs && !proxy.hasEnded && next < MAX_PAYMENTS;
    const outcomes = new Counts();
    let next = 0;
    const client = async () => {
      const agent = connection(scope);
      while (isRunning()) {
        const payment = paymentOf(seed, next++);
        const outcome = await pay({ port: proxy.port, prefix: '/api', agent }, payment);
        checkOutcome(result, payment.id, outcome, ledger);
        outcomes.add(describeOutcome(outcome));
        if (outcome.kind === 'problem' && outcome.status === 503) await delay(50);
      }
      agent.destroy();
    };
    const leaver = async () => {
      while (isRunning()) await leave(proxy.port, paymentOf(seed, next++), randomOf(seed, next));
    };
    const line = async () => {
      const { usedMiB, residentMiB } = await proxy.settledMemory();
      const memory = `${usedMiB.toFixed(0)} MiB in use, ${residentMiB.toFixed(0)} MiB resident`;
      const { answered, survived, lost } = result;
      report(
        `${next} payments: ${answered} answered, ${survived} survived, ${lost} lost; ${memory}; ${proxy.socketCount()} sockets`,
      );
      return { usedMiB, residentMiB };
    };
    const everyone = Promise.all([
      ...Array.from({ length: CLIENTS }, client),
      ...Array.from({ length: LEAVING_CLIENTS }, leaver),
      tokenFaults(faulty, isRunning, new Random(seed + 1)),
      reloading(proxy, faulty.settings, isRunning, new Random(seed + 2)),
    ]);
    // Memory for code that is loaded at the start stays.
    await waitAtMost(everyone, Math.min(15_000, forMs / 4));
    const before = await line();
    while (isRunning()) if (!(await waitAtMost(everyone, MINUTE_MS))) await line();
    await everyone;
    const left = await proxy.excessSockets(idleSockets + TOKEN_SOCKETS, IDLE_TIMEOUT_MS);
    expectThat(result, 'leaked', left === 0, `${left} sockets stayed open`);
    expectThat(
      result,
      'leaked',
      await eventually(IDLE_TIMEOUT_MS, () => upstream.sockets.size === 0),
      'upstream sockets',
    );
    const after = await line();
    const used = Math.round(after.usedMiB - before.usedMiB);
    const resident = Math.round(after.residentMiB - before.residentMiB);
    expectThat(result, 'leaked', used < USED_SLACK_MIB, `${used} MiB more are in use`);
    expectThat(result, 'leaked', resident < RESIDENT_SLACK_MIB, `${resident} MiB more are resident`);
    expectThat(result, 'leaked', proxy.leakCount === 0, `${proxy.leakCount} log lines contain a secret`);
    for (const id of ledger.ids) checkExecutions(result, id, ledger);
    expectThat(result, 'lost', ledger.mixedUp === 0, `${ledger.mixedUp} requests had the body of another payment`);
    const { exchanges, refreshes, token_requests: tokenRequests } = faulty.emulator.stats();
    result.notes.push(`${used} MiB more in use, ${resident} MiB more resident`);
    result.notes.push(
      `${tokenRequests} token requests, ${exchanges} logins, ${refreshes} refreshes; ${outcomes.describe()}`,
    );
    return result;
  });
}

/** Waits for the promise, at most `timeoutMs`. @returns whether it has settled */
async function waitAtMost(everyone: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const stop = new AbortController();
  const over = everyone.then(() => true);
  const late = delay(timeoutMs, false, { signal: stop.signal }).catch(() => true);
  const first = await Promise.race([over, late]);
  stop.abort();
  return first;
}

/** Sends a payment or a part of it, then disconnects. */
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

/** Makes the token endpoint fail from time to time, in every way it can. */
async function tokenFaults({ emulator }: FaultyProvider, isRunning: () => boolean, random: Random): Promise<void> {
  while (isRunning()) {
    await delay(random.between(2000, 6000));
    const retryAfter = random.chance(0.3) ? 1 : null;
    emulator.control({ token_endpoint: random.pick(TOKEN_FAULTS), retry_after: retryAfter });
    await delay(random.between(200, 1500));
    emulator.control({ token_endpoint: 'ok' });
  }
}

/** Writes a new configuration every few seconds. One in three is invalid. */
async function reloading(
  proxy: ProxyChild,
  settings: Settings,
  isRunning: () => boolean,
  random: Random,
): Promise<void> {
  while (isRunning()) {
    await delay(random.between(1500, 5000));
    const drain = `${random.between(5, 60)}s`;
    writeFileSync(proxy.file, random.chance(1 / 3) ? 'routes: [' : configText({ ...settings, drain_timeout: drain }));
  }
}
