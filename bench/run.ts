import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bulk, coldBurst, manyRoutes, million, startUp } from './extras.ts';
import { type Load, measure, median, type Window, wrk } from './load.ts';
import { clientFloorUs, HELLO, HTTP_PROXY_3, NGINX, PEERS, type Place, type Subject, WAKALA } from './proxies.ts';
import { checkSubject } from './checks.ts';
import { freePort, stop } from './processes.ts';
import { quickLine, type Results, writeReport } from './report.ts';
import { startTokenEndpoint, startUpstream } from './upstream.ts';

const LOADS = {
  get: { method: 'GET', path: '/small', connections: 32 },
  post: { method: 'POST', path: '/small', connections: 32 },
  big: { method: 'GET', path: '/files/big', connections: 8 },
  one: { method: 'GET', path: '/small', connections: 1 },
} as const satisfies Record<string, Load>;

export type LoadName = keyof typeof LOADS;

/** How long everything takes. `quick` is under a minute. */
const PLANS = {
  full: {
    rounds: 5,
    firstWarmUpS: 2,
    warmUpS: 2,
    windowS: 3,
    floorS: 4,
    subjects: [WAKALA, HTTP_PROXY_3, ...PEERS, NGINX, HELLO],
  },
  quick: {
    rounds: 1,
    firstWarmUpS: 3,
    warmUpS: 1,
    windowS: 1,
    floorS: 2,
    subjects: [WAKALA, HTTP_PROXY_3, ...PEERS.slice(0, 1), NGINX, HELLO],
  },
} as const;

const quick = process.argv.includes('--quick');
const plan = quick ? PLANS.quick : PLANS.full;

function missingTools(): string[] {
  const needs = {
    nginx: 'apt-get install nginx-light',
    wrk: 'apt-get install wrk',
    taskset: 'apt-get install util-linux',
  };
  return Object.entries(needs).flatMap(([tool, how]) => {
    try {
      execFileSync('sh', ['-c', `command -v ${tool}`]);
      return [];
    } catch {
      return [`${tool} is missing: ${how}`];
    }
  });
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** One subject alone on its core: warmed up, then a window of each load. */
async function round(subject: Subject, place: Place, windows: Map<LoadName, Window[]>): Promise<void> {
  const { child, port, prefix } = await subject.start(place);
  try {
    const under = (load: Load): Load => ({ ...load, path: prefix + load.path });
    for (const [name, load] of Object.entries(LOADS) as [LoadName, Load][]) {
      if (subject.kind === 'floor' && name === 'big') continue;
      if (quick && name === 'one' && subject.kind !== 'wakala' && subject.kind !== 'native') continue;
      // The compiler works for seconds on what it meets for the first time.
      await wrk(port, under(load), name === 'get' ? plan.firstWarmUpS : plan.warmUpS);
      const window = await measure(child.pid ?? 0, port, under(load), plan.windowS);
      windows.set(name, [...(windows.get(name) ?? []), window]);
    }
  } finally {
    await stop(child);
  }
}

async function run(place: Place): Promise<Results> {
  const skipped: string[] = [];
  const windows = new Map<Subject, Map<LoadName, Window[]>>();
  for (const subject of plan.subjects) {
    try {
      await checkSubject(subject, place);
      windows.set(subject, new Map());
    } catch (error) {
      skipped.push(`${subject.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const clientFloor: number[] = [];
  for (let i = 1; i <= plan.rounds; i++) {
    for (const [subject, measured] of windows) {
      say(`round ${i} of ${plan.rounds}: ${subject.name}`);
      await round(subject, place, measured);
    }
    clientFloor.push(clientFloorUs(place.upstreamPort, plan.floorS));
  }
  say('start-up and memory');
  const start = await startUp(place);
  const extras = quick
    ? undefined
    : {
        bulk: await bulk(place),
        burst: await coldBurst(place),
        routes: await manyRoutes(place, plan.windowS),
        million: await million(place, 1_000_000),
      };
  return { windows, clientFloorUs: median(clientFloor), start, extras, skipped };
}

// Where nginx is, and not in everyone's PATH.
process.env['PATH'] = `${process.env['PATH'] ?? ''}:/usr/sbin`;
const missing = missingTools();
if (missing.length > 0) {
  say(missing.join('\n'));
  process.exit(2);
}
const directory = mkdtempSync(join(tmpdir(), 'wakala-bench-'));
const endpoint = await startTokenEndpoint(0);
const upstreamPort = await freePort();
const upstream = await startUpstream(directory, upstreamPort);
try {
  const results = await run({ directory, upstreamPort, tokenPort: endpoint.port });
  writeReport(results, quick);
  if (quick) process.stdout.write(`${quickLine(results)}\n`);
} finally {
  await stop(upstream);
  endpoint.close();
  rmSync(directory, { recursive: true, force: true });
}
