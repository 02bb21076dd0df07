import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../support/free-port.ts';
import { Random } from '../support/random.ts';
import { HttpUpstream, sendJson } from './http-upstream.ts';
import type { ScenarioOptions } from './never-twice.ts';
import { connection } from './payment-client.ts';
import { configText, ProxyChild, temporaryFolder, writeConfig } from './proxy-child.ts';
import { expectThat, newResult, recordFailure, type ScenarioResult } from './scenario-result.ts';
import { type Scope, withScope } from './scope.ts';
import { sendRequest } from './send-request.ts';

const CLIENTS = 16;

/** Less than the poll interval of 10 s: the change must be noticed by a file event. */
const BEFORE_POLL_MS = 8000;

/** Invalid configuration files, made from a valid one. */
const INVALID_CONFIGS: readonly ((valid: Record<string, unknown>) => string)[] = [
  (valid) => configText(valid).slice(0, -5),
  (valid) => configText({ ...valid, enviroment: 'sandbox' }),
  (valid) => configText({ ...valid, routes: {}, admin: '127.0.0.1:1' }),
  (valid) => configText({ ...valid, drain_timeout: 'soon' }),
  () => '',
  (valid) => configText({ ...valid, drain_timeout: '${SOAK_NOT_SET}' }),
];

/** `count` reloads under load, every second one of an invalid file: no request fails, and an invalid file changes nothing. */
export function reloads({ count, seed }: ScenarioOptions): Promise<ScenarioResult> {
  return withScope(async (scope) => {
    const result = newResult('reloads under load', seed);
    const random = new Random(seed);
    const upstream = await HttpUpstream.start(scope, echoGeneration, { lifetimeS: 2 });
    const admin = `127.0.0.1:${await freePort()}`;
    const settings = (generation: number) => ({
      admin,
      routes: {
        // A new connect_timeout replaces the connections to the upstream.
        '/api/*': upstream.route('key', {
          headers: { 'x-generation': String(generation) },
          connect_timeout: `${5 + (generation % 3)}s`,
        }),
      },
    });
    const file = writeConfig(scope, settings(0));
    const proxy = await ProxyChild.start(scope, file);
    const port = Number(admin.split(':')[1]);
    const stop = steadyLoad(scope, proxy, result, random);
    let generation = 0;
    for (let step = 1; step <= count; step++) {
      result.tried += 1;
      const isInvalid = step % 2 === 0;
      const after = proxy.lineCount;
      if (!isInvalid) generation = step;
      writeFileSync(file, isInvalid ? random.pick(INVALID_CONFIGS)(settings(step)) : configText(settings(step)));
      await proxy.waitForLog(isInvalid ? /config_reload_refused/ : /config_reloaded/, after);
      const ready = await sendRequest(port, '/readyz');
      const detail = String(ready.field('detail') ?? '');
      expectThat(result, 'lost', ready.status === 200, `/readyz says ${ready.status}`);
      expectThat(
        result,
        'lost',
        isInvalid === detail.includes('reload refused'),
        `step ${step}: /readyz says "${detail}"`,
      );
      const { text } = await sendRequest(proxy.port, '/api/generation', { body: 'x' });
      expectThat(
        result,
        'lost',
        text === JSON.stringify(String(generation)),
        `step ${step}: ${text}, not ${generation}`,
      );
    }
    await stop();
    expectThat(result, 'lost', !proxy.hasEnded, 'the proxy died');
    result.survived = result.tried;
    return result;
  });
}

async function echoGeneration(req: IncomingMessage, res: ServerResponse): Promise<void> {
  req.resume();
  await delay(5);
  sendJson(res, 200, req.headers['x-generation']);
}

/** Sends requests over kept connections, some with slow bodies. @returns a function that stops them */
function steadyLoad(scope: Scope, proxy: ProxyChild, result: ScenarioResult, random: Random): () => Promise<void> {
  let isStopped = false;
  const client = async (number: number): Promise<void> => {
    const agent = connection(scope);
    while (!isStopped) {
      try {
        const body = number % 4 === 0 ? slowBody(random) : 'quick';
        const { status, text } = await sendRequest(proxy.port, '/api/x', { agent, body });
        if (status === 200) result.answered += 1;
        else recordFailure(result, 'lost', `a request got ${status} ${text}`);
      } catch (error) {
        recordFailure(result, 'lost', `a request failed: ${String(error)}`);
      }
    }
  };
  const clients = Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)));
  return async () => {
    isStopped = true;
    await clients;
  };
}

async function* slowBody(random: Random): AsyncGenerator<string> {
  for (let piece = 0; piece < 4; piece++) {
    yield 'x'.repeat(random.between(1, 30_000));
    await delay(random.between(0, 150));
  }
}

/** `count` rotations of a secret mounted by Kubernetes: the next token request uses the new secret. */
export function rotatedSecret({ count, seed }: ScenarioOptions): Promise<ScenarioResult> {
  return withScope(async (scope) => {
    const result = newResult('rotated secret', seed);
    const folder = temporaryFolder(scope);
    const upstream = await HttpUpstream.start(scope, (_, res) => sendJson(res, 200, {}));
    mountSecret(folder, 0);
    symlinkSync(join('..data', 'key'), join(folder, 'key'));
    const routes = { '/api/*': upstream.route(`\${file:${join(folder, 'key')}}`) };
    const proxy = await ProxyChild.start(scope, writeConfig(scope, { routes }), { secrets: () => ['secret-number-'] });
    for (let rotation = 0; rotation <= count; rotation++) {
      const after = proxy.lineCount;
      if (rotation > 0) {
        mountSecret(folder, rotation);
        await proxy.waitForLog(/config_reloaded/, after, BEFORE_POLL_MS);
      }
      result.tried += 1;
      const { status } = await sendRequest(proxy.port, '/api/x', { body: 'pay' });
      const key = upstream.keys.at(-1) ?? 'none';
      if (status === 200 && key === `secret-number-${rotation}`) result.answered += 1;
      else recordFailure(result, 'lost', `rotation ${rotation}: ${status}, the token request used ${key}`);
    }
    expectThat(result, 'leaked', proxy.leakCount === 0, `${proxy.leakCount} log lines contain a secret`);
    expectThat(
      result,
      'doubled',
      upstream.keys.length === count + 1,
      `${upstream.keys.length} exchanges for ${count + 1} secrets`,
    );
    return result;
  });
}

/** Writes the secret to a new folder and switches the link `..data` to it, as Kubernetes does. */
function mountSecret(folder: string, rotation: number): void {
  const dated = (number: number) => `..2026_01_01_00_00_${String(number).padStart(2, '0')}.1`;
  mkdirSync(join(folder, dated(rotation)));
  writeFileSync(join(folder, dated(rotation), 'key'), `secret-number-${rotation}\n`, { mode: 0o600 });
  symlinkSync(dated(rotation), join(folder, '..data_tmp'));
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
  // Kubernetes removes the old folder later. The change must be noticed before.
  if (rotation > 1) rmSync(join(folder, dated(rotation - 2)), { recursive: true });
}
