import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ask } from './send-request.ts';
import { answer, HttpUpstream } from './http-upstream.ts';
import { connection } from './payment-client.ts';
import type { Counted } from './never-twice.ts';
import { freePort } from '../support/free-port.ts';
import { configIn, configText, ProxyChild, temporaryFolder } from './proxy-child.ts';
import { Random } from '../support/random.ts';
import { must, newRow, type Row, wrong } from './scenario-result.ts';
import { type Scope, within } from './scope.ts';

const CLIENTS = 16;

/** Files are looked at every 10 s in any case. */
const SOONER_THAN_POLLED_MS = 8000;

/** Ways to spoil a configuration file that is otherwise the good one. */
const SPOILERS: readonly ((good: Record<string, unknown>) => string)[] = [
  (good) => configText(good).slice(0, -5),
  (good) => configText({ ...good, enviroment: 'sandbox' }),
  (good) => configText({ ...good, routes: {}, admin: '127.0.0.1:1' }),
  (good) => configText({ ...good, drain_timeout: 'soon' }),
  () => '',
  (good) => configText({ ...good, drain_timeout: '${SOAK_NOT_SET}' }),
];

/** `count` reloads under load, every second one of a bad file: no request fails, and a bad file changes nothing. */
export function reloads({ count, seed }: Counted): Promise<Row> {
  return within(async (scope) => {
    const row = newRow('reloads under load', seed);
    const random = new Random(seed);
    const upstream = await HttpUpstream.start(scope, echoGeneration, { lifetimeS: 2 });
    const admin = `127.0.0.1:${await freePort()}`;
    const settings = (generation: number) => ({
      admin,
      routes: {
        // Another connect_timeout means other connections to the upstream.
        '/api/*': upstream.route('key', {
          headers: { 'x-generation': String(generation) },
          connect_timeout: `${5 + (generation % 3)}s`,
        }),
      },
    });
    const file = configIn(scope, settings(0));
    const proxy = await ProxyChild.start(scope, file);
    const port = Number(admin.split(':')[1]);
    const stop = steadyLoad(scope, proxy, row, random);
    let generation = 0;
    for (let step = 1; step <= count; step++) {
      row.tried += 1;
      const bad = step % 2 === 0;
      const after = proxy.logged;
      if (!bad) generation = step;
      writeFileSync(file, bad ? random.pick(SPOILERS)(settings(step)) : configText(settings(step)));
      await proxy.logs(bad ? /config_reload_refused/ : /config_reloaded/, after);
      const ready = await ask(port, '/readyz');
      const detail = String(ready.field('detail') ?? '');
      must(row, 'lost', ready.status === 200, `/readyz says ${ready.status}`);
      must(row, 'lost', bad === detail.includes('reload refused'), `step ${step}: /readyz says "${detail}"`);
      const { text } = await ask(proxy.port, '/api/generation', { body: 'x' });
      must(row, 'lost', text === JSON.stringify(String(generation)), `step ${step}: ${text}, not ${generation}`);
    }
    await stop();
    must(row, 'lost', !proxy.ended, 'the proxy died');
    row.survived = row.tried;
    return row;
  });
}

async function echoGeneration(req: IncomingMessage, res: ServerResponse): Promise<void> {
  req.resume();
  await delay(5);
  answer(res, 200, req.headers['x-generation']);
}

/** Requests over kept connections, some with bodies that take their time. @returns what stops them */
function steadyLoad(scope: Scope, proxy: ProxyChild, row: Row, random: Random): () => Promise<void> {
  let stopped = false;
  const client = async (number: number): Promise<void> => {
    const agent = connection(scope);
    while (!stopped) {
      try {
        const body = number % 4 === 0 ? slowBody(random) : 'quick';
        const { status, text } = await ask(proxy.port, '/api/x', { agent, body });
        if (status === 200) row.answered += 1;
        else wrong(row, 'lost', `a request got ${status} ${text}`);
      } catch (error) {
        wrong(row, 'lost', `a request failed: ${String(error)}`);
      }
    }
  };
  const clients = Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)));
  return async () => {
    stopped = true;
    await clients;
  };
}

async function* slowBody(random: Random): AsyncGenerator<string> {
  for (let piece = 0; piece < 4; piece++) {
    yield 'x'.repeat(random.between(1, 30_000));
    await delay(random.between(0, 150));
  }
}

/** `count` rotations of a mounted secret, as Kubernetes does them: the next token is asked for with the new one. */
export function rotatedSecret({ count, seed }: Counted): Promise<Row> {
  return within(async (scope) => {
    const row = newRow('rotated secret', seed);
    const folder = temporaryFolder(scope);
    const upstream = await HttpUpstream.start(scope, (_, res) => answer(res, 200, {}));
    mount(folder, 0);
    symlinkSync(join('..data', 'key'), join(folder, 'key'));
    const routes = { '/api/*': upstream.route(`\${file:${join(folder, 'key')}}`) };
    const proxy = await ProxyChild.start(scope, configIn(scope, { routes }), { secrets: () => ['secret-number-'] });
    for (let rotation = 0; rotation <= count; rotation++) {
      const after = proxy.logged;
      if (rotation > 0) {
        mount(folder, rotation);
        await proxy.logs(/config_reloaded/, after, SOONER_THAN_POLLED_MS);
      }
      row.tried += 1;
      const { status } = await ask(proxy.port, '/api/x', { body: 'pay' });
      const key = upstream.keys.at(-1) ?? 'none';
      if (status === 200 && key === `secret-number-${rotation}`) row.answered += 1;
      else wrong(row, 'lost', `rotation ${rotation}: ${status}, the token was asked for with ${key}`);
    }
    must(row, 'leaked', proxy.leaks === 0, `${proxy.leaks} log lines hold a secret`);
    must(
      row,
      'doubled',
      upstream.keys.length === count + 1,
      `${upstream.keys.length} exchanges for ${count + 1} secrets`,
    );
    return row;
  });
}

/** Puts the secret into a folder of its own, and swaps the link `..data` over to it. */
function mount(folder: string, rotation: number): void {
  const dated = (number: number) => `..2026_01_01_00_00_${String(number).padStart(2, '0')}.1`;
  mkdirSync(join(folder, dated(rotation)));
  writeFileSync(join(folder, dated(rotation), 'key'), `secret-number-${rotation}\n`, { mode: 0o600 });
  symlinkSync(dated(rotation), join(folder, '..data_tmp'));
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
  // Kubernetes removes the old folder some time later; the change must be seen without that.
  if (rotation > 1) rmSync(join(folder, dated(rotation - 2)), { recursive: true });
}
