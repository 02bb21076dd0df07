import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../support/free-port.ts';
import { Random } from '../support/random.ts';
import { paymentOf } from './faults.ts';
import { HttpUpstream, sendJson } from './http-upstream.ts';
import { Ledger } from './ledger.ts';
import type { ScenarioOptions } from './never-twice.ts';
import { connection, type Outcome, pay } from './payment-client.ts';
import { ProxyChild, writeConfig } from './proxy-child.ts';
import { Counts, expectThat, newResult, recordFailure, type ScenarioResult } from './scenario-result.ts';
import { type Scope, withScope, withTimeout } from './scope.ts';
import { sendRequest } from './send-request.ts';

const CLIENTS = 40;
const DRAIN_TIMEOUT_MS = 10_000;
const MAX_RESPONSE_DELAY_MS = 400;

/** Executes payments, records them in the ledger and responds within `MAX_RESPONSE_DELAY_MS`. */
function paymentApi(scope: Scope, ledger: Ledger, random: Random): Promise<HttpUpstream> {
  return HttpUpstream.start(scope, async (req: IncomingMessage, res: ServerResponse) => {
    const id = String(req.headers['idempotency-key'] ?? '');
    ledger.count(id, 'received');
    req.resume().on('error', () => {});
    req.on('end', () => {
      ledger.count(id, 'executed');
      void delay(random.between(0, MAX_RESPONSE_DELAY_MS)).then(() => sendJson(res, 200, { id }));
    });
  });
}

/** SIGTERM under load, `count` times: every payment that the upstream received gets its response, and the exit code is 0. */
export function drains({ count, seed }: ScenarioOptions): Promise<ScenarioResult> {
  return withScope(async (scope) => {
    const result = newResult('SIGTERM under load', seed);
    const ledger = new Ledger();
    const random = new Random(seed);
    const upstream = await paymentApi(scope, ledger, random);
    const file = writeConfig(scope, {
      drain_timeout: `${DRAIN_TIMEOUT_MS / 1000}s`,
      routes: { '/api/*': upstream.route('key') },
    });
    let next = 0;
    const outcomeById = new Map<string, Outcome>();
    const endings = new Counts();
    for (let round = 0; round < count; round++) {
      const proxy = await ProxyChild.start(scope, file);
      let answered = 0;
      const enough = Promise.withResolvers<undefined>();
      const clients = Array.from({ length: CLIENTS }, async (_, worker) => {
        const agent = connection(scope);
        for (let isKept = false; ;) {
          const payment = paymentOf(seed, next++);
          const outcome = await pay({ port: proxy.port, prefix: '/api', agent }, payment);
          if (outcome.kind === 'broken' && ledger.of(payment.id).received === 0) {
            // The proxy accepts no new connections. A kept connection must end with `Connection: close`.
            endings.add(outcome.code);
            expectThat(result, 'lost', !isKept, `${payment.id}: ${outcome.code} on a kept connection without notice`);
            return;
          }
          outcomeById.set(payment.id, outcome);
          if (outcome.kind === 'response' && ++answered === 5 * CLIENTS) enough.resolve(undefined);
          if (outcome.kind === 'broken') return;
          isKept = !outcome.closing;
          // Half of the clients pause, so that some kept connections are idle.
          if (worker % 2 === 0) await delay(random.between(0, 30));
        }
      });
      await enough.promise;
      proxy.signal('SIGTERM');
      const code = await withTimeout(proxy.exited, DRAIN_TIMEOUT_MS + 1000, 'the drain');
      expectThat(result, 'lost', code === 0, `exit code ${code}`);
      await withTimeout(Promise.all(clients), 15_000, 'the clients');
    }
    for (const id of ledger.ids) {
      result.tried += 1;
      const outcome = outcomeById.get(id);
      if (ledger.of(id).executed > 1) recordFailure(result, 'doubled', id);
      if (outcome?.kind === 'response' && outcome.echoed === id) result.answered += 1;
      else
        recordFailure(result, 'lost', `${id}: executed, but the outcome for its client was ${JSON.stringify(outcome)}`);
    }
    result.notes.push(`how connections ended: ${endings.describe()}`);
    return result;
  });
}

/** kill -9 under load and an immediate restart on the same port, `count` times. */
export function killed({ count, seed }: ScenarioOptions): Promise<ScenarioResult> {
  return withScope(async (scope) => {
    const result = newResult('kill -9 and restart', seed);
    const ledger = new Ledger();
    const upstream = await paymentApi(scope, ledger, new Random(seed));
    const listen = `127.0.0.1:${await freePort()}`;
    const file = writeConfig(scope, { listen, routes: { '/api/*': upstream.route('key') } });
    let next = 0;
    let proxy = await ProxyChild.start(scope, file);
    for (let round = 0; round < count; round++) {
      result.tried += 1;
      const payments = Array.from({ length: CLIENTS }, () => paymentOf(seed, next++));
      const outcomes = payments.map((payment) =>
        pay({ port: proxy.port, prefix: '/api', agent: connection(scope) }, payment),
      );
      await Promise.race(outcomes);
      proxy.signal('SIGKILL');
      await proxy.exited;
      await Promise.all(outcomes);
      proxy = await ProxyChild.start(scope, file);
      const { status } = await sendRequest(proxy.port, '/api/x', { body: 'pay' });
      if (status === 200) result.answered += 1;
      else recordFailure(result, 'lost', `after the restart: ${status}`);
      result.survived += 1;
    }
    for (const id of ledger.ids) expectThat(result, 'doubled', id === '' || ledger.of(id).executed <= 1, id);
    return result;
  });
}
