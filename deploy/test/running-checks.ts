import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { request } from 'undici';
import { mebibytes, type Podman, processStatus, type Running } from './podman.ts';
import type { Report } from './report.ts';
import type { Scene } from './scene.ts';
import { chunks, digestOf } from './upstream.ts';

const CONFIG = 'proxy.config.yaml';
const LARGE = 100 * 1024 * 1024;
const LIMIT = 256 * 1024 * 1024;
const AT_ONCE = 400;

/** Commands that run to their end. */
export async function checkCommands(podman: Podman, scene: Scene, report: Report, commit: string): Promise<void> {
  await report.check('--version says version and commit', async () => {
    const { code, stdout } = await podman.run(['--version']);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^\\d+\\.\\d+\\.\\d+ \\(${commit}\\)\\n$`));
    return stdout.trim();
  });
  await report.check('any other user can run it as well', async () => {
    const { code, stdout, stderr } = await podman.run(['--version'], '12345:12345');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^\d+\.\d+\.\d+/);
  });
  await report.check('check takes the mounted configuration, with its secrets from files', async () => {
    const { code, stdout, stderr } = await podman.run(['check']);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /\/paypack\/\*/);
    // The emulators speak plain HTTP on this machine, which is no cause for a word; a secret that others may read is.
    assert.equal(/may read/.test(stdout + stderr), false, stderr);
  });
  await report.check('check names file and line of a bad one, with exit code 3', async () => {
    scene.config.write({ [CONFIG]: scene.configuration('  /bad/*: { provider: mpessa }\n') });
    const { code, stderr } = await podman.run(['check']);
    scene.config.write({ [CONFIG]: scene.configuration() });
    assert.equal(code, 3);
    assert.match(stderr, /^\/etc\/wakala\/proxy\.config\.yaml:\d+:\d+: .*did you mean `mpesa`/m);
  });
}

/** What the process is to the kernel. */
export async function checkProcess(running: Running, report: Report): Promise<void> {
  const { field } = processStatus(running.pid);
  await report.check('the process is user 65532, without capabilities, and can gain none', () => {
    assert.deepEqual(field('Uid').split('\t'), Array(4).fill('65532'));
    assert.deepEqual(field('Gid').split('\t'), Array(4).fill('65532'));
    assert.equal(field('Groups').trim().replace('65532', ''), '');
    for (const set of ['CapEff', 'CapPrm', 'CapInh', 'CapAmb']) assert.match(field(set), /^0+$/, set);
    assert.equal(field('NoNewPrivs'), '1');
    assert.match(field('CapBnd'), /^0+$/);
  });
  await report.check('its root file system and its volumes are read-only, and there is no writable one', () => {
    const mounts = readFileSync(`/proc/${running.pid}/mountinfo`, 'utf8').trim().split('\n');
    const disks = mounts
      .map((line) => line.split(' '))
      .filter((fields) => !/^\/(proc|sys|dev)(\/|$)/.test(fields[4] ?? ''));
    assert.ok(disks.length >= 3);
    const writable = disks.filter((fields) => !/^ro(,|$)/.test(fields[5] ?? '')).map((fields) => fields[4] ?? '');
    // Podman's own files, which Docker mounts in the same way; they belong to root.
    assert.deepEqual(
      writable.filter((at) => !/^\/(etc\/(hosts|hostname|resolv\.conf)|run\/\.containerenv)$/.test(at)),
      [],
    );
  });
}

/** Whether others can see that it is well. */
export async function checkHealth(scene: Scene, running: Running, report: Report): Promise<void> {
  await report.check('/readyz answers 200', async () => {
    assert.equal(await scene.readiness(), 200);
  });
  await report.check("the image's own health check finds it well", async () => {
    const { code, stdout, stderr } = await running.healthcheck();
    assert.equal(code, 0, stdout + stderr);
  });
}

/** Calls through the proxy, few and many, small and large. */
export async function checkTraffic(podman: Podman, scene: Scene, running: Running, report: Report): Promise<void> {
  const resident = () => mebibytes(processStatus(running.pid).resident);
  report.say(`        resident at rest: ${resident()}`);

  await report.check('a call gets a token, and the next one the same', async () => {
    assert.deepEqual(await tokenOf(scene, '/paypack/transactions/list'), [200, 'fetched']);
    assert.deepEqual(await tokenOf(scene, '/paypack/transactions/list'), [200, 'cached']);
  });
  await report.check('a call whose token died is sent again with another', async () => {
    await scene.expireTokens();
    assert.deepEqual(await tokenOf(scene, '/paypack/transactions/list'), [200, 'replayed']);
  });
  await report.check('a secret of a file reaches the provider, and the key of the client does not', async () => {
    assert.equal((await scene.call('/files/any')).status, 200);
    assert.equal(scene.upstream.authorization, `Bearer ${scene.token}`);
    assert.equal((await scene.call('/files/any', 'made-up-key-of-nobody')).status, 401);
  });
  await report.check(`${AT_ONCE} requests at once are answered`, async () => {
    const answers = await Promise.all(Array.from({ length: AT_ONCE }, () => scene.call('/paypack/transactions/list')));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    return `${resident()} resident`;
  });

  const expected = await digestOf(chunks(LARGE));
  await report.check('100 MiB come through whole', async () => {
    const headers = { authorization: `Bearer ${scene.clientKey}` };
    const { body } = await request(scene.url(`/files/blob?bytes=${LARGE}`), { dispatcher: scene.agent, headers });
    assert.deepEqual(await digestOf(body), expected);
    return `${resident()} resident`;
  });
  await report.check('100 MiB go through whole', async () => {
    const headers = { authorization: `Bearer ${scene.clientKey}` };
    const body = Readable.from(chunks(LARGE), { objectMode: false });
    const answer = await request(scene.url('/files/sink'), { dispatcher: scene.agent, method: 'POST', headers, body });
    assert.deepEqual(await answer.body.json(), expected);
    return `${resident()} resident`;
  });
  await report.check('all of that in less than 256 MiB', () => {
    const { peak } = processStatus(running.pid);
    assert.ok(peak < LIMIT, mebibytes(peak));
    const group = running.memory();
    if (group === undefined) return `resident at its highest: ${mebibytes(peak)}; nothing limits it on this machine`;
    assert.equal(group.limit, LIMIT);
    assert.equal(group.killed, 0);
    return `resident at its highest: ${mebibytes(peak)}; charged to the container: ${mebibytes(group.peak)}`;
  });
  await report.check('the OpenTelemetry modules are there: a trace arrives', async () => {
    await scene.upstream.traced(`${podman.settings.labels['org.opencontainers.image.version']} GET /paypack/*`);
  });
}

/** New configuration and new secrets, mounted as Kubernetes does it. */
export async function checkReload(scene: Scene, running: Running, report: Report): Promise<void> {
  const reload = async (change: () => void, message: RegExp) => {
    const from = running.output.stderr.length;
    change();
    await running.output.until(message, from);
  };
  await report.check('a swapped configuration is taken: its new route is there', async () => {
    assert.equal((await scene.call('/more/any')).status, 404);
    const more = `  /more/*: { provider: static, upstream: '${scene.upstream.origin}', credentials: { token: made-up-more-token } }\n`;
    await reload(() => scene.config.write({ [CONFIG]: scene.configuration(more) }), /config_reloaded/);
    assert.equal((await scene.call('/more/any')).status, 200);
  });
  await report.check('a bad one is refused, and the old one serves on', async () => {
    await reload(() => scene.config.write({ [CONFIG]: 'routes: 1\n' }), /config_reload_refused/);
    assert.equal((await scene.call('/more/any')).status, 200);
    await reload(() => scene.config.write({ [CONFIG]: scene.configuration() }), /config_reloaded/);
    assert.equal((await scene.call('/more/any')).status, 404);
  });
  await report.check('a swapped secret is taken: the old key of the client is refused', async () => {
    const old = scene.clientKey;
    await reload(() => {
      scene.clientKey = 'made-up-key-of-the-shop-2';
      scene.writeSecrets();
    }, /config_reloaded/);
    assert.equal((await scene.call('/files/any', old)).status, 401);
    assert.equal((await scene.call('/files/any')).status, 200);
  });
}

/** The end, with a request under way. */
export async function checkStop(scene: Scene, running: Running, report: Report): Promise<void> {
  await report.check('nothing was written below the root of the image', async () => {
    assert.deepEqual(await running.changes(), []);
  });
  await report.check('stopped while a request is under way, it answers that one and exits with 0', async () => {
    const call = scene.call('/files/held');
    await Promise.race([scene.upstream.held(), call]);
    const stopped = running.stop();
    await running.output.until(/"event":"draining"/);
    while ((await scene.readiness()) === 200) await sleep(20);
    scene.upstream.release();
    const { status, body, headers } = await call;
    assert.deepEqual([status, body, headers['connection']], [200, 'released', 'close']);
    assert.equal(await stopped, 0);
    assert.match(running.output.stderr, /"event":"stopped","clean":true/);
  });
  await report.check('its log is JSON, line by line, and shows no secret', () => {
    const { stdout, stderr } = running.output;
    const lines = stderr.trim().split('\n');
    for (const line of lines) assert.equal(typeof (JSON.parse(line) as { event: unknown }).event, 'string', line);
    const shown = scene.secretValues.filter((secret) => (stdout + stderr).includes(secret));
    assert.deepEqual(shown, []);
    return `${lines.length} lines`;
  });
}

async function tokenOf(scene: Scene, target: string): Promise<[status: number, token: unknown]> {
  const { status, headers } = await scene.call(target);
  return [status, headers['wakala-token']];
}
