import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../../support/free-port.ts';
import { ask } from '../../support/proxy-ask.ts';
import { temporaryDirectory } from '../../support/proxy-process.ts';
import { hasTool } from '../../support/tools.ts';
import { type Manifest, ofKind, podOf, rendered } from './manifests.ts';
import { madeUp, PodProcess } from './pod-process.ts';

describe.runIf(hasTool('kubectl') && hasTool('redis-server'))('the Redis of the gateway', { timeout: 60_000 }, () => {
  it('takes the password of its Secret alone, and Wakala connects to it', async () => {
    const manifests = rendered('overlays/gateway');
    const redis = { port: await freePort(), password: madeUp() };
    await start(manifests, redis);
    expect(await answersOf(redis.port, ['PING'])).toEqual([expect.stringMatching(/^-NOAUTH/)]);
    expect(await answersOf(redis.port, [`AUTH ${redis.password}`, 'PING'])).toEqual(['+OK', '+PONG']);
    const pod = await PodProcess.start(manifests, redis);
    expect((await ask(pod.adminPort, '/metrics')).text).toMatch(/^wakala_token_store_connected 1$/m);
  });

  it('may be away: Wakala is ready without it, and says so in its metrics', async () => {
    const pod = await PodProcess.start(rendered('overlays/gateway'));
    expect((await ask(pod.adminPort, '/readyz')).status).toBe(200);
    expect((await ask(pod.adminPort, '/metrics')).text).toMatch(/^wakala_token_store_connected 0$/m);
  });
});

/** Runs it as its container does, on a port of this machine, until the test ends. */
async function start(
  manifests: readonly Manifest[],
  { port, password }: { readonly port: number; readonly password: string },
): Promise<void> {
  const folder = temporaryDirectory();
  const toHere = (text: string) => text.replace(/\/(etc|run\/secrets)\/redis/g, `${folder}/$1`);
  const conf = ofKind(manifests, 'ConfigMap')
    .flatMap(({ data = {} }) => data['redis.conf'] ?? [])
    .join();
  for (const name of ['etc', 'run/secrets']) mkdirSync(path.join(folder, name), { recursive: true });
  writeFileSync(path.join(folder, 'etc/redis.conf'), toHere(conf));
  writeFileSync(path.join(folder, 'run/secrets/auth.conf'), `requirepass ${password}\n`);
  const deployment = ofKind(manifests, 'Deployment').find(({ metadata }) => metadata?.name === 'wakala-redis');
  const [container] = deployment === undefined ? [] : podOf(deployment).containers;
  const [program = '', ...args] = container?.command?.map(toHere) ?? [];
  const here = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder];
  const redis: ChildProcess = spawn(program, [...args, ...here], { stdio: 'ignore' });
  const gone = once(redis, 'exit');
  onTestFinished(async () => {
    redis.kill('SIGKILL');
    await gone;
  });
  for (let tries = 0; tries < 500; tries++) {
    if ((await answersOf(port, ['PING']).catch(() => [])).length > 0) return;
    await sleep(20);
  }
  throw new Error('redis-server did not start');
}

/** Sends inline commands. @returns the line that answers each */
async function answersOf(port: number, commands: readonly string[]): Promise<string[]> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    socket.write(commands.map((command) => `${command}\r\n`).join(''));
    let text = '';
    for await (const chunk of socket) {
      text += String(chunk);
      const lines = text.split('\r\n').slice(0, -1);
      if (lines.length >= commands.length) return lines;
    }
    return text.split('\r\n');
  } finally {
    socket.destroy();
  }
}
