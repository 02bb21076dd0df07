import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { request } from 'undici';
import { mebibytes, processStatus, type Engine, type Running } from './engine.ts';
import type { Report } from './report.ts';
import type { Scene } from './scene.ts';
import { chunks, digestOf } from './upstream.ts';

const LARGE = 100 * 1024 * 1024;
const LIMIT = 256 * 1024 * 1024;
const AT_ONCE = 400;

/** What the process is to the kernel. */
export async function checkProcess(engine: Engine, running: Running, report: Report): Promise<void> {
  const { field } = processStatus(running.pid);
  await report.check('the process is user 65532, without capabilities, and can gain none', () => {
    assert.deepEqual(field('Uid').split('\t'), Array(4).fill('65532'));
    assert.deepEqual(field('Gid').split('\t'), Array(4).fill('65532'));
    assert.equal(field('Groups').trim().replace('65532', ''), '');
    for (const set of ['CapEff', 'CapPrm', 'CapInh', 'CapAmb']) assert.match(field(set), /^0+$/, set);
    assert.equal(field('NoNewPrivs'), '1');
    if (engine.isContainer) assert.match(field('CapBnd'), /^0+$/);
  });
  if (!engine.isContainer) return;
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

/** Calls through the proxy, few and many, small and large. */
export async function checkTraffic(engine: Engine, scene: Scene, running: Running, report: Report): Promise<void> {
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
    await scene.upstream.traced(`${engine.settings.labels['org.opencontainers.image.version']} GET /paypack/*`);
  });
}

async function tokenOf(scene: Scene, target: string): Promise<[status: number, token: unknown]> {
  const { status, headers } = await scene.call(target);
  return [status, headers['wakala-token']];
}
