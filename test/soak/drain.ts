import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { ask } from './send-request.ts';
import { paymentOf } from './faults.ts';
import { answer, HttpUpstream } from './http-upstream.ts';
import { Ledger } from './ledger.ts';
import type { Counted } from './never-twice.ts';
import { connection, type Outcome, pay } from './payment-client.ts';
import { freePort } from '../support/free-port.ts';
import { configIn, ProxyChild } from './proxy-child.ts';
import { Random } from '../support/random.ts';
import { must, newRow, type Row, Tally, wrong } from './scenario-result.ts';
import { inTime, type Scope, within } from './scope.ts';

const CLIENTS = 40;
const DRAIN_TIMEOUT_MS = 10_000;
const SLOWEST_ANSWER_MS = 400;

/** Executes payments and keeps a ledger, taking up to `SLOWEST_ANSWER_MS` for an answer. */
function honestApi(scope: Scope, ledger: Ledger, random: Random): Promise<HttpUpstream> {
  return HttpUpstream.start(scope, async (req: IncomingMessage, res: ServerResponse) => {
    const id = String(req.headers['idempotency-key'] ?? '');
    ledger.count(id, 'sighted');
    req.resume().on('error', () => {});
    req.on('end', () => {
      ledger.count(id, 'executed');
      void delay(random.between(0, SLOWEST_ANSWER_MS)).then(() => answer(res, 200, { id }));
    });
  });
}

/** SIGTERM under load, `count` times: every payment that the upstream took gets its answer, and the process ends well. */
export function drains({ count, seed }: Counted): Promise<Row> {
  return within(async (scope) => {
    const row = newRow('SIGTERM under load', seed);
    const ledger = new Ledger();
    const random = new Random(seed);
    const upstream = await honestApi(scope, ledger, random);
    const file = configIn(scope, {
      drain_timeout: `${DRAIN_TIMEOUT_MS / 1000}s`,
      routes: { '/api/*': upstream.route('key') },
    });
    let next = 0;
    const told = new Map<string, Outcome>();
    const last = new Tally();
    for (let round = 0; round < count; round++) {
      const proxy = await ProxyChild.start(scope, file);
      let answered = 0;
      const enough = Promise.withResolvers<undefined>();
      const clients = Array.from({ length: CLIENTS }, async (_, worker) => {
        const agent = connection(scope);
        for (let kept = false; ;) {
          const payment = paymentOf(seed, next++);
          const outcome = await pay({ port: proxy.port, prefix: '/api', agent }, payment);
          if (outcome.kind === 'broken' && ledger.of(payment.id).sighted === 0) {
            // Nobody takes new connections any more. A kept one must not end without a word.
            last.count(outcome.code);
            must(row, 'lost', !kept, `${payment.id}: ${outcome.code} on a connection that was to be kept`);
            return;
          }
          told.set(payment.id, outcome);
          if (outcome.kind === 'answer' && ++answered === 5 * CLIENTS) enough.resolve(undefined);
          if (outcome.kind === 'broken') return;
          kept = !outcome.closing;
          // Half of them pause now and then, and leave a kept connection idle.
          if (worker % 2 === 0) await delay(random.between(0, 30));
        }
      });
      await enough.promise;
      proxy.signal('SIGTERM');
      const code = await inTime(proxy.exited, DRAIN_TIMEOUT_MS + 1000, 'the drain');
      must(row, 'lost', code === 0, `exit code ${code}`);
      await inTime(Promise.all(clients), 15_000, 'the clients');
    }
    for (const id of ledger.ids) {
      row.tried += 1;
      const outcome = told.get(id);
      if (ledger.of(id).executed > 1) wrong(row, 'doubled', id);
      if (outcome?.kind === 'answer' && outcome.echoed === id) row.answered += 1;
      else wrong(row, 'lost', `${id}: executed, and its client was told ${JSON.stringify(outcome)}`);
    }
    row.notes.push(`how clients learned of the end: ${last.shown()}`);
    return row;
  });
}

/** kill -9 under load and a restart at once on the same port, `count` times. */
export function killed({ count, seed }: Counted): Promise<Row> {
  return within(async (scope) => {
    const row = newRow('kill -9 and restart', seed);
    const ledger = new Ledger();
    const upstream = await honestApi(scope, ledger, new Random(seed));
    const listen = `127.0.0.1:${await freePort()}`;
    const file = configIn(scope, { listen, routes: { '/api/*': upstream.route('key') } });
    let next = 0;
    let proxy = await ProxyChild.start(scope, file);
    for (let round = 0; round < count; round++) {
      row.tried += 1;
      const payments = Array.from({ length: CLIENTS }, () => paymentOf(seed, next++));
      const outcomes = payments.map((payment) =>
        pay({ port: proxy.port, prefix: '/api', agent: connection(scope) }, payment),
      );
      await Promise.race(outcomes);
      proxy.signal('SIGKILL');
      await proxy.exited;
      await Promise.all(outcomes);
      proxy = await ProxyChild.start(scope, file);
      const { status } = await ask(proxy.port, '/api/x', { body: 'pay' });
      if (status === 200) row.answered += 1;
      else wrong(row, 'lost', `after the restart: ${status}`);
      row.survived += 1;
    }
    for (const id of ledger.ids) must(row, 'doubled', id === '' || ledger.of(id).executed <= 1, id);
    return row;
  });
}
