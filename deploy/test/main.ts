// Builds the image of deploy/Dockerfile and runs it locked up: main.ts WORK CACHE, started by run.sh, which owns both
// directories. The last line is "N passed, N failed".
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Chroot } from './chroot.ts';
import { finish } from './child.ts';
import type { Engine } from './engine.ts';
import { checkImage } from './image-checks.ts';
import { checkCommands, checkHealth, checkReload, checkStop } from './life-checks.ts';
import { Podman } from './podman.ts';
import { npmSettings, type Recipe } from './recipe.ts';
import { Report } from './report.ts';
import { Scene } from './scene.ts';
import { checkProcess, checkTraffic } from './traffic-checks.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const DOCKERFILE = path.join(ROOT, 'deploy/Dockerfile');

const [work = '', cache = ''] = process.argv.slice(2);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));
const report = new Report();
try {
  await testImage();
} catch (error) {
  await report.check('the test runs to its end', () => {
    throw error;
  });
}
process.exit(report.finish() ? 0 : 1);

async function testImage(): Promise<void> {
  const { stdout: head } = await finish(['git', '-C', ROOT, 'rev-parse', '--short=7', 'HEAD']);
  const commit = head.trim() === '' ? '0000000' : head.trim();
  const recipe: Recipe = {
    context: ROOT,
    dockerfile: DOCKERFILE,
    builderTar: path.join(cache, 'builder.tar'),
    runtimeTar: path.join(cache, 'runtime.tar'),
    ...(await npmSettings(work)),
    args: { WAKALA_COMMIT: commit, WAKALA_SOURCE: 'https://git.example/wakala' },
  };
  const engine = await builtBy(recipe);
  try {
    await checkImage(engine, report, commit);
    await checkRunning(engine, commit);
  } finally {
    await engine.close();
  }
}

async function checkRunning(engine: Engine, commit: string): Promise<void> {
  const scene = await Scene.set(engine);
  try {
    await checkCommands(engine, scene, report, commit);
    const running = await engine.start([]);
    await checkProcess(engine, running, report);
    await checkHealth(scene, running, report);
    await checkTraffic(engine, scene, running, report);
    await checkReload(scene, running, report);
    await checkStop(scene, running, report);
  } finally {
    await scene.close();
  }
}

/** Builds the image with the first engine that can run a container here, or with none. Says which, and why. */
async function builtBy(recipe: Recipe): Promise<Engine> {
  const podman =
    process.env['WAKALA_IMAGE_TEST'] === 'chroot' ? 'WAKALA_IMAGE_TEST is chroot' : await usablePodman(recipe);
  if (podman instanceof Podman) {
    report.say(`== containers: ${podman.name}`);
    await podman.build(recipe);
    return podman;
  }
  report.say(`== no containers, but a chroot with another user: ${podman}`);
  return Chroot.build(path.join(work, 'chroot'), recipe, readFileSync(DOCKERFILE, 'utf8'));
}

/** @returns podman with a storage driver and a runtime that work on this machine, or why there is none */
async function usablePodman({ runtimeTar }: Recipe): Promise<Podman | string> {
  if (!mayMount()) return 'this root has no CAP_SYS_ADMIN';
  const { code, stdout, stderr } = await finish(['podman', '--version']);
  if (code !== 0) return `podman does not run: ${stderr}`;
  const reasons: string[] = [];
  for (const driver of ['overlay', 'vfs']) {
    for (const runtime of ['crun', 'runc']) {
      const podman = new Podman(path.join(work, driver), stdout.trim(), driver, runtime);
      try {
        await podman.probe(runtimeTar);
        return podman;
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        reasons.push(`${podman.name}: ${message.split('\n').slice(0, 2).join(': ')}`);
        await podman.close().catch(() => undefined);
      }
    }
  }
  return reasons.join('\n');
}

/** Without the capability, podman takes root for any other user, and leaves a process behind that holds a namespace. */
function mayMount(): boolean {
  const [, effective = '0'] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return ((BigInt(`0x${effective}`) >> 21n) & 1n) === 1n;
}
