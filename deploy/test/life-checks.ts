import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Engine, Running } from './engine.ts';
import type { Report } from './report.ts';
import type { Scene } from './scene.ts';

const CONFIG = 'proxy.config.yaml';

/** Commands that run to their end. */
export async function checkCommands(engine: Engine, scene: Scene, report: Report, commit: string): Promise<void> {
  await report.check('--version says version and commit', async () => {
    const { code, stdout } = await engine.run(['--version']);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^\\d+\\.\\d+\\.\\d+ \\(${commit}\\)\\n$`));
    return stdout.trim();
  });
  await report.check('any other user can run it as well', async () => {
    const { code, stdout, stderr } = await engine.run(['--version'], '12345:12345');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^\d+\.\d+\.\d+/);
  });
  await report.check('check takes the mounted configuration, with its secrets from files', async () => {
    const { code, stdout, stderr } = await engine.run(['check']);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /\/paypack\/\*/);
    // The emulators speak plain HTTP on this machine, which is no cause for a word; a secret that others may read is.
    assert.equal(/may read/.test(stdout + stderr), false, stderr);
  });
  await report.check('check names file and line of a bad one, with exit code 3', async () => {
    scene.config.write({ [CONFIG]: scene.configuration('  /bad/*: { provider: mpessa }\n') });
    const { code, stderr } = await engine.run(['check']);
    scene.config.write({ [CONFIG]: scene.configuration() });
    assert.equal(code, 3);
    assert.match(stderr, /^\/etc\/wakala\/proxy\.config\.yaml:\d+:\d+: .*did you mean `mpesa`/m);
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
    await scene.upstream.held();
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
