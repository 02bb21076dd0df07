import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { newSeed } from '../support/random.ts';
import { badSockets } from './bad-sockets.ts';
import { drains, killed } from './drain.ts';
import { generatedResponses } from './generated-responses.ts';
import { hostileClients } from './hostile-clients.ts';
import { largeBodies } from './large-bodies.ts';
import { leavingClients } from './leaving-clients.ts';
import { concurrencyLimit, connectionLimit } from './limits.ts';
import { mixed } from './mixed.ts';
import { neverTwice } from './never-twice.ts';
import { reloads, rotatedSecret } from './reload.ts';
import { replicasAtOnce, replicasExpired } from './replicas.ts';
import { hasPassed, markdownTable, newResult, recordFailure, type ScenarioResult } from './scenario-result.ts';

const USAGE = `npm run soak [-- OPTIONS]: runs load and fault scenarios; fails if the proxy loses, doubles or leaks anything

  --quick        run a tenth of everything
  --minutes N    duration of "hostile clients" and of "mixed", each (10)
  --seed N       repeat the random choices of another run
  --only TEXT    run only scenarios with this text in their name
`;

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    minutes: { type: 'string' },
    seed: { type: 'string' },
    only: { type: 'string', default: '' },
    help: { type: 'boolean', default: false },
  },
});

const seed = Number(options.seed ?? newSeed());
const scaled = (count: number) => (options.quick ? Math.ceil(count / 10) : count);
const forMs = Number(options.minutes ?? scaled(10)) * 60_000;

const MAX_HOSTILE_CONNECTIONS = 100_000;

const SCENARIOS: Readonly<Record<string, () => Promise<ScenarioResult>>> = {
  'never twice': () => neverTwice({ count: scaled(10_000), seed }),
  'leaving clients': () => leavingClients({ count: scaled(1000), seed }),
  'bad sockets': () =>
    badSockets({
      loris: scaled(1000),
      silent: scaled(500),
      normal: scaled(5000),
      seed,
      reapedInMs: 15_000,
      timed: true,
    }),
  'large bodies': () => largeBodies({ refusedMiB: scaled(1024), passedMiB: scaled(100), seed }),
  'concurrency limit': () => concurrencyLimit({ count: scaled(1000), seed }),
  'connection limit': () => connectionLimit({ count: scaled(1000), seed }),
  reloads: () => reloads({ count: scaled(200), seed }),
  'rotated secret': () => rotatedSecret({ count: scaled(20), seed }),
  drains: () => drains({ count: scaled(10), seed }),
  killed: () => killed({ count: scaled(10), seed }),
  'replicas at once': () => replicasAtOnce({ count: scaled(2000), seed }),
  'replicas, tokens expired': () => replicasExpired({ forMs: scaled(60_000), seed }),
  // A quarter of the time for each of four proxies.
  'hostile clients': () =>
    hostileClients({
      seed,
      connections: MAX_HOSTILE_CONNECTIONS,
      forMs: forMs / 4,
      parallel: 48,
      maxIdleMs: 2000,
      timed: true,
    }),
  responses: () => generatedResponses({ count: scaled(1_000_000), overSockets: scaled(20_000), seed }),
  mixed: () => mixed({ forMs, seed, report: (line) => console.log(`${new Date().toISOString()}  ${line}`) }),
};

async function main(): Promise<void> {
  if (options.help) {
    console.log(USAGE);
    return;
  }
  if (Number.isNaN(seed) || !(forMs > 0)) throw new Error(USAGE);
  console.log(`${new Date().toISOString()}  Node ${process.version}, ${availableParallelism()} cores, seed ${seed}`);
  const results: ScenarioResult[] = [];
  for (const [name, run] of Object.entries(SCENARIOS)) {
    if (!name.includes(options.only)) continue;
    const startedMs = Date.now();
    const result = await run().catch((error: unknown) => failed(name, error));
    results.push(result);
    console.log(
      `\n${result.scenario}: ${hasPassed(result) ? 'passed' : 'FAILED'} after ${Math.round((Date.now() - startedMs) / 1000)} s`,
    );
    for (const note of result.notes) console.log(`  ${note}`);
  }
  console.log(`\n${markdownTable(results)}`);
  if (!results.every(hasPassed)) process.exitCode = 1;
}

/** The result of a scenario that threw an error. */
function failed(name: string, error: unknown): ScenarioResult {
  const result = newResult(name, seed);
  recordFailure(result, 'lost', error instanceof Error ? (error.stack ?? error.message) : String(error));
  return result;
}

await main();
