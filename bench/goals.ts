import type { LoadName } from './load.ts';
import { addedP50Us, ratiosOf, type Results } from './results.ts';

type Unit = 'x' | 'us' | 'ms' | 'MiB' | 'exchange';

/** An upper limit for a figure of the benchmark. */
export interface Goal {
  readonly name: string;
  readonly atMost: number;
  readonly unit: Unit;
  /** Undefined or NaN if this run did not measure it. */
  measured(results: Results): number | undefined;
}

interface RatioLimits {
  readonly httpProxy3: number;
  readonly bestPeer?: number;
  readonly nginx?: number;
}

const GET: RatioLimits = { httpProxy3: 0.33, bestPeer: 0.72, nginx: 2.2 };
const POST: RatioLimits = { httpProxy3: 0.37, bestPeer: 0.75 };
const GET_BIG: RatioLimits = { httpProxy3: 0.5, nginx: 1.1 };

const AGAINST = {
  httpProxy3: 'http-proxy-3',
  bestPeer: 'the best JavaScript peer',
  nginx: 'nginx',
} as const;

function cpuGoals(title: string, load: LoadName, limits: RatioLimits): Goal[] {
  return (Object.keys(AGAINST) as (keyof typeof AGAINST)[]).flatMap((other): Goal[] => {
    const atMost = limits[other];
    if (atMost === undefined) return [];
    const name = `CPU, ${title}, against ${AGAINST[other]}`;
    return [{ name, atMost, unit: 'x', measured: (results) => ratiosOf(results, load)[other] }];
  });
}

/** All goals. The limits over TLS are the same as without, compared with the same proxies over TLS. */
export const GOALS: readonly Goal[] = [
  ...cpuGoals('GET 200 B', 'get', GET),
  ...cpuGoals('POST 500 B', 'post', POST),
  ...cpuGoals('GET 1 MiB', 'big', GET_BIG),
  ...cpuGoals('GET 200 B over TLS', 'tlsGet', GET),
  ...cpuGoals('POST 500 B over TLS', 'tlsPost', POST),
  ...cpuGoals('GET 1 MiB over TLS', 'tlsBig', GET_BIG),
  { name: 'One connection, p50, more than nginx', atMost: 40, unit: 'us', measured: addedP50Us },
  { name: 'Ready', atMost: 350, unit: 'ms', measured: ({ start }) => start.readyMs },
  { name: 'Resident memory when idle', atMost: 78, unit: 'MiB', measured: ({ start }) => start.rssIdleMb },
  { name: 'Memory growth, 100 MiB down', atMost: 32, unit: 'MiB', measured: ({ extras }) => extras?.bulk.downMb },
  { name: 'Memory growth, 100 MiB up', atMost: 32, unit: 'MiB', measured: ({ extras }) => extras?.bulk.upMb },
  {
    name: 'CPU with 10,000 routes and tokens, against 10',
    atMost: 1.1,
    unit: 'x',
    measured: ({ extras }) => extras?.routes && extras.routes.many / extras.routes.few,
  },
  { name: 'Ready with 10,000 routes', atMost: 2000, unit: 'ms', measured: ({ extras }) => extras?.routes?.readyMs },
  {
    name: '1,000 requests without a token: exchanges',
    atMost: 1,
    unit: 'exchange',
    measured: ({ extras }) => extras?.burst.exchanges,
  },
  {
    name: '1,000 requests without a token: all sent after its response',
    atMost: 100,
    unit: 'ms',
    measured: ({ extras }) => extras?.burst.allSentMs,
  },
];

export interface Verdict {
  readonly goal: Goal;
  readonly measured: number;
  readonly isMet: boolean;
}

/** The goals that this run has measured. */
export function verdictsOf(results: Results, goals: readonly Goal[] = GOALS): Verdict[] {
  return goals.flatMap((goal): Verdict[] => {
    const measured = goal.measured(results);
    if (measured === undefined || Number.isNaN(measured)) return [];
    return [{ goal, measured, isMet: rounded(measured, goal.unit) <= goal.atMost }];
  });
}

/** Rounds like the report, so that the printed figure decides whether a goal is met. */
function rounded(value: number, unit: Unit): number {
  return unit === 'x' ? Math.round(value * 100) / 100 : Math.round(value * 10) / 10;
}

/** Such as `0.33 x` or `350 ms`. */
export function formatFigure(value: number, unit: Unit): string {
  const figure = rounded(value, unit).toLocaleString('en', { minimumFractionDigits: unit === 'x' ? 2 : 0 });
  return unit === 'exchange' ? figure : `${figure} ${unit}`;
}
