import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkSubject, checkSubjectOverTls } from './checks.ts';
import { measureBulk, measureColdBurst, measureManyRoutes, measureMillion, measureStart } from './extras.ts';
import { type Load, LOAD_NAMES, type LoadName, LOADS, measure, type Window, wrk } from './load.ts';
import { stop } from './processes.ts';
import {
  type Environment,
  HELLO,
  HTTP_PROXY_3,
  NGINX,
  PEERS,
  type Subject,
  WAKALA,
  WAKALA_SIGNED,
  WAKALA_WORKERS,
} from './proxies.ts';
import { quickLine, writeReport } from './report.ts';
import type { Results } from './results.ts';
import { startTokenEndpoint, startUpstream, type UpstreamServer } from './upstream.ts';

interface Plan {
  readonly rounds: number;
  readonly starts: number;
  readonly subjects: readonly Subject[];
  /**
   * Seconds of load before a window, because the compiler needs seconds to optimize new code. Two workers on one core
   * need twice as long.
   */
  warmUpS(subject: Subject, load: LoadName): number;
  readonly windowS: number;
  measures(subject: Subject, load: LoadName): boolean;
}

/** Takes about 22 minutes. */
const FULL: Plan = {
  rounds: 5,
  starts: 5,
  subjects: [WAKALA, ...WAKALA_SIGNED, WAKALA_WORKERS, HTTP_PROXY_3, ...PEERS, NGINX, HELLO],
  warmUpS: (subject, load) => {
    // nginx needs no warm-up, and `one` sends the same requests as `get`.
    if (subject.kind === 'native' || load === 'one' || load === 'tlsPost') return 1;
    const seconds = load === 'get' || load === 'tlsGet' || WAKALA_SIGNED.includes(subject) ? 3 : 2;
    return subject === WAKALA_WORKERS ? 2 * seconds : seconds;
  },
  windowS: 2,
  measures: (subject, load) => {
    if (WAKALA_SIGNED.includes(subject)) return load === 'post';
    return LOADS[load].tls ? subject.measuredOverTls : !(subject.kind === 'floor' && load === 'big');
  },
};

/** Takes less than a minute. */
const QUICK: Plan = {
  rounds: 1,
  starts: 2,
  subjects: [WAKALA, ...WAKALA_SIGNED, WAKALA_WORKERS, HTTP_PROXY_3, ...PEERS.slice(0, 1), NGINX],
  warmUpS: (subject, load) => {
    if (subject.kind === 'native' || load === 'one') return 0;
    if (subject === WAKALA_WORKERS) return 4;
    if (WAKALA_SIGNED.includes(subject)) return 2;
    return load === 'get' ? 2 : 1;
  },
  windowS: 1,
  measures: (subject, load) => {
    if (WAKALA_SIGNED.includes(subject)) return load === 'post';
    if (subject === WAKALA_WORKERS) return load === 'get';
    if (load === 'one') return subject === WAKALA || subject === NGINX;
    return load !== 'tlsPost';
  },
};

const quick = process.argv.includes('--quick');
const plan = quick ? QUICK : FULL;

function missingTools(): string[] {
  const packages = {
    nginx: 'apt-get install nginx-light',
    wrk: 'apt-get install wrk',
    taskset: 'apt-get install util-linux',
    openssl: 'apt-get install openssl',
  };
  return Object.entries(packages).flatMap(([tool, how]) => {
    try {
      execFileSync('sh', ['-c', `command -v ${tool}`]);
      return [];
    } catch {
      return [`${tool} is missing: ${how}`];
    }
  });
}

function log(text: string): void {
  process.stderr.write(`${text}\n`);
}

type Windows = Map<LoadName, Window[]>;

/** Starts one subject, warms it up and measures a window of each load. */
async function runRound(
  subject: Subject,
  place: Environment,
  loads: readonly LoadName[],
  measured: Windows,
): Promise<void> {
  const { child, port, prefix } = await subject.start(place);
  try {
    for (const name of loads) {
      const load: Load = { ...LOADS[name], path: prefix + LOADS[name].path };
      const warmUpS = plan.warmUpS(subject, name);
      if (warmUpS > 0) await wrk(port, load, warmUpS);
      const window = await measure(child.pid ?? 0, port, load, plan.windowS);
      measured.set(name, [...(measured.get(name) ?? []), window]);
    }
  } finally {
    await stop(child);
  }
}

/** @returns why the check failed, or undefined if it passed */
async function problemOf(check: Promise<void>): Promise<string | undefined> {
  try {
    await check;
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function run(upstream: UpstreamServer, at: Omit<Environment, 'upstream'>): Promise<Results> {
  const plain: Environment = { ...at, upstream: upstream.plain };
  const tls: Environment = { ...at, upstream: upstream.tls };
  const windows = new Map<Subject, Windows>();
  const skipped = new Map<Subject, string>();
  const skippedOverTls = new Map<Subject, string>();
  for (const subject of plan.subjects) {
    log(`checking ${subject.name}`);
    const problem = await problemOf(checkSubject(subject, plain));
    if (problem === undefined) windows.set(subject, new Map());
    else skipped.set(subject, problem);
    const tlsProblem = subject.measuredOverTls ? await problemOf(checkSubjectOverTls(subject, tls)) : undefined;
    if (tlsProblem !== undefined) skippedOverTls.set(subject, tlsProblem);
  }
  for (let i = 1; i <= plan.rounds; i++) {
    for (const [subject, measured] of windows) {
      log(`round ${i} of ${plan.rounds}: ${subject.name}`);
      const loads = LOAD_NAMES.filter((load) => plan.measures(subject, load));
      const isTls = (load: LoadName) => LOADS[load].tls;
      await runRound(
        subject,
        plain,
        loads.filter((load) => !isTls(load)),
        measured,
      );
      if (subject.measuredOverTls && !skippedOverTls.has(subject)) {
        await runRound(subject, tls, loads.filter(isTls), measured);
      }
    }
  }
  log('start-up and memory');
  const start = await measureStart(plain, plan.starts);
  const extras = quick
    ? undefined
    : {
        bulk: await measureBulk(plain),
        burst: await measureColdBurst(plain),
        routes: await measureManyRoutes(plain, plan.windowS).catch((error: unknown) => {
          log(`10,000 routes: ${String(error)}`);
          return undefined;
        }),
        million: await measureMillion(plain, 1_000_000),
      };
  return { windows, skipped, skippedOverTls, start, extras };
}

// nginx may be in /usr/sbin, which is often not in the PATH.
process.env['PATH'] = `${process.env['PATH'] ?? ''}:/usr/sbin`;
const missing = missingTools();
if (missing.length > 0) {
  log(missing.join('\n'));
  process.exit(2);
}
const directory = mkdtempSync(join(tmpdir(), 'wakala-bench-'));
const endpoint = await startTokenEndpoint(0);
const upstream = await startUpstream(directory);
try {
  const results = await run(upstream, { directory, tokenPort: endpoint.port });
  writeReport(results, quick);
  if (quick) process.stdout.write(`${quickLine(results)}\n`);
} finally {
  await stop(upstream.child);
  endpoint.close();
  rmSync(directory, { recursive: true, force: true });
}
