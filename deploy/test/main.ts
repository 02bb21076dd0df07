// Builds the image of deploy/Dockerfile and runs it locked up: main.ts WORK CACHE, started by run.sh, which owns both
// directories. The last line is "N passed, N failed", or why podman can run no container here.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { finish } from './child.ts';
import { checkImage } from './image-checks.ts';
import { npmSettings, Podman } from './podman.ts';
import { Report } from './report.ts';
import { checkCommands, checkHealth, checkProcess, checkReload, checkStop, checkTraffic } from './running-checks.ts';
import { Scene } from './scene.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

const [work = '', cache = ''] = process.argv.slice(2);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));
const report = new Report();
const podman = await usablePodman();
if (typeof podman === 'string') {
  report.say(`skipped: podman cannot run containers here: ${podman}`);
  process.exit(0);
}
try {
  await testImage(podman);
} catch (error) {
  await report.check('the test runs to its end', () => {
    throw error;
  });
} finally {
  await podman.close();
}
process.exit(report.finish() ? 0 : 1);

/** @returns podman with a storage driver and a runtime that work on this machine, or why there is none */
async function usablePodman(): Promise<Podman | string> {
  // Without it, podman takes root for any other user, and leaves a process behind that holds a namespace.
  if (!hasSysAdmin()) return 'this root has no CAP_SYS_ADMIN';
  const { code, stdout, stderr } = await finish(['podman', '--version']);
  if (code !== 0) return stderr.trim();
  const reasons: string[] = [];
  for (const driver of ['overlay', 'vfs']) {
    for (const runtime of ['crun', 'runc']) {
      const candidate = new Podman(path.join(work, driver), stdout.trim(), driver, runtime);
      try {
        await candidate.probe(path.join(cache, 'runtime.tar'));
        return candidate;
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        reasons.push(`with ${runtime} and ${driver}, ${message.split('\n').slice(0, 2).join(': ')}`);
        await candidate.close().catch(() => undefined);
      }
    }
  }
  return reasons.join('; ');
}

function hasSysAdmin(): boolean {
  const [, effective = '0'] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return ((BigInt(`0x${effective}`) >> 21n) & 1n) === 1n;
}

async function testImage(engine: Podman): Promise<void> {
  report.say(`== ${engine.name}`);
  const { stdout: head } = await finish(['git', '-C', ROOT, 'rev-parse', '--short=7', 'HEAD']);
  const commit = head.trim() === '' ? '0000000' : head.trim();
  await engine.build({
    context: ROOT,
    dockerfile: path.join(ROOT, 'deploy/Dockerfile'),
    builderTar: path.join(cache, 'builder.tar'),
    runtimeTar: path.join(cache, 'runtime.tar'),
    ...(await npmSettings(work)),
    args: { WAKALA_COMMIT: commit, WAKALA_SOURCE: 'https://git.example/wakala' },
  });
  await checkImage(engine, report, commit);
  const scene = await Scene.set(engine);
  try {
    await checkCommands(engine, scene, report, commit);
    const running = await engine.start();
    await checkProcess(running, report);
    await checkHealth(scene, running, report);
    await checkTraffic(engine, scene, running, report);
    await checkReload(scene, running, report);
    await checkStop(scene, running, report);
  } finally {
    await scene.close();
  }
}
