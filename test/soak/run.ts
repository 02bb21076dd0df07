import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { badSockets } from './bad-sockets.ts';
import { drains, killed } from './drain.ts';
import { generatedResponses } from './generated-responses.ts';
import { largeBodies } from './large-bodies.ts';
import { leavingClients } from './leaving-clients.ts';
import { concurrencyLimit, connectionLimit } from './limits.ts';
import { mixed } from './mixed.ts';
import { neverTwice } from './never-twice.ts';
import { newSeed } from '../support/random.ts';
import { reloads, rotatedSecret } from './reload.ts';
import { replicasAtOnce, replicasKilled } from './replicas.ts';
import { held, newRow, type Row, tableOf, wrong } from './scenario-result.ts';
import { strangers } from './hostile-clients.ts';

const USAGE = `npm run soak [-- OPTIONS]: tries to make a proxy lose, double or leak something

  --quick        a tenth of everything
  --minutes N    how long the strangers and the mixed load run, each (10)
  --seed N       repeats what was decided by chance in another run
  --only TEXT    only the scenarios that have this in their name
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

const MOST_STRANGERS = 100_000;

const SCENARIOS: Readonly<Record<string, () => Promise<Row>>> = {
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
  'replicas, tokens killed': () => replicasKilled({ forMs: scaled(60_000), seed }),
  // A quarter of the time at each of four proxies.
  strangers: () =>
    strangers({ seed, connections: MOST_STRANGERS, forMs: forMs / 4, atATime: 48, mostHeldMs: 2000, timed: true }),
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
  const rows: Row[] = [];
  for (const [name, run] of Object.entries(SCENARIOS)) {
    if (!name.includes(options.only)) continue;
    const startedMs = Date.now();
    const row = await run().catch((error: unknown) => failed(name, error));
    rows.push(row);
    console.log(
      `\n${row.scenario}: ${held(row) ? 'held' : 'FAILED'} after ${Math.round((Date.now() - startedMs) / 1000)} s`,
    );
    for (const note of row.notes) console.log(`  ${note}`);
  }
  console.log(`\n${tableOf(rows)}`);
  if (!rows.every(held)) process.exitCode = 1;
}

/** A scenario that could not be run to its end proves nothing. */
function failed(name: string, error: unknown): Row {
  const row = newRow(name, seed);
  wrong(row, 'lost', error instanceof Error ? (error.stack ?? error.message) : String(error));
  return row;
}

await main();
