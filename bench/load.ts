import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { cpuUs } from './processes.ts';

export interface Load {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly connections: number;
}

/** The loads of the benchmark. `tls` means TLS to the upstream. */
export const LOADS = {
  get: { method: 'GET', path: '/small', connections: 32, tls: false },
  post: { method: 'POST', path: '/small', connections: 32, tls: false },
  big: { method: 'GET', path: '/files/big', connections: 8, tls: false },
  one: { method: 'GET', path: '/small', connections: 1, tls: false },
  tlsGet: { method: 'GET', path: '/small', connections: 32, tls: true },
  tlsPost: { method: 'POST', path: '/small', connections: 32, tls: true },
  tlsBig: { method: 'GET', path: '/files/big', connections: 8, tls: true },
} as const satisfies Record<string, Load & { tls: boolean }>;

export type LoadName = keyof typeof LOADS;
export const LOAD_NAMES = Object.keys(LOADS) as LoadName[];

/** The measurements of one window of load. */
export interface Window {
  /** CPU of the proxy per request (user and system). */
  readonly cpuUs: number;
  readonly perSecond: number;
  /** Latency in microseconds. */
  readonly p50Us: number;
  readonly p99Us: number;
}

const SCRIPT = fileURLToPath(new URL('load.lua', import.meta.url));

/** Loads a proxy with wrk from the second core and measures the CPU time of its processes. */
export async function measure(pid: number, port: number, load: Load, seconds: number): Promise<Window> {
  const before = cpuUs(pid);
  const result = await wrk(port, load, seconds);
  const used = cpuUs(pid) - before;
  return {
    cpuUs: used / result.requests,
    perSecond: result.requests / result.seconds,
    p50Us: result.p50,
    p99Us: result.p99,
  };
}

/** Runs wrk. @throws Error if any request failed */
export async function wrk(port: number, load: Load, seconds: number): Promise<WrkResult> {
  const args = ['-t1', `-c${load.connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', SCRIPT];
  const child = spawn('taskset', ['-c', '1', 'wrk', ...args, `http://127.0.0.1:${port}${load.path}`], {
    env: { ...process.env, METHOD: load.method },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  await once(child, 'close');
  const result = JSON.parse(/RESULT (.*)/.exec(output)?.[1] ?? 'null') as WrkResult | null;
  if (result === null) throw new Error(`wrk printed no result:\n${output}`);
  if (result.failed > 0) throw new Error(`${result.failed} of ${result.requests} requests failed`);
  return result;
}

interface WrkResult {
  readonly requests: number;
  readonly seconds: number;
  readonly failed: number;
  readonly p50: number;
  readonly p99: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? NaN)
    : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}

/** Half the distance between the extremes, as a share of the median. */
export function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / 2 / median(values);
}
