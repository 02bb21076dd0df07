import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer as createTcpServer, type LookupFunction, type Socket } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { expect, onTestFinished } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { CheckName, CheckResult } from '../../src/commands/doctor/check-result.ts';
import { doctor } from '../../src/commands/doctor/doctor.ts';
import type { Probes } from '../../src/commands/doctor/probes.ts';
import { exitCodeOf, jsonReport, textReport } from '../../src/commands/doctor/report.ts';
import { runChecks } from '../../src/commands/doctor/run-checks.ts';
import type { Config, RouteConfig } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import { type Emulator, startEmulator } from '../../src/emulators/emulator.ts';
import { providerNamed } from '../../src/providers/registry.ts';
import type { Issued } from '../config/certificate.ts';
import { listen } from '../support/listen.ts';
import { configFile } from '../support/proxy-process.ts';
import type { Settings } from '../support/proxy-server.ts';
import { network } from '../support/token-exchange.ts';

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface RunOptions {
  readonly route?: string;
  readonly json?: boolean;
  readonly call?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  readonly tty?: boolean;
}

/** The command as the command line calls it, with a temporary configuration file. Its path is printed as FILE. */
export async function run(
  settings: Settings | string,
  { route, json = false, call = false, env = {}, tty = false }: RunOptions = {},
) {
  const config = configFile(settings);
  let [stdout, stderr] = ['', ''];
  const io = { stdout: (s: string) => void (stdout += s), stderr: (s: string) => void (stderr += s), env, tty };
  const code = await doctor({ config, route, json, call }, io);
  return { code, stdout: stdout.replaceAll(config, 'FILE'), stderr: stderr.replaceAll(config, 'FILE') } satisfies Ran;
}

/** `ok`, `warning`, `failed` or `skipped` of each check of one route in a JSON report. */
export function resultsOf({ stdout }: Ran, route: string): Record<string, string> {
  const report = JSON.parse(stdout) as { routes: { route: string; checks: { name: string; result: string }[] }[] };
  const found = report.routes.find((each) => each.route === route);
  return Object.fromEntries(found!.checks.map(({ name, result }) => [name, result]));
}

/** An emulated provider on free ports, closed when the test ends. */
export async function emulated(name: string, options: Parameters<typeof startEmulator>[1] = {}): Promise<Emulator> {
  const emulator = await startEmulator(providerNamed(name)!, { port: 0, authPort: 0, ...options });
  onTestFinished(() => emulator.close());
  return emulator;
}

export function configOf(settings: Settings): Config {
  return loadConfig('proxy.config.yaml', { readFile: () => JSON.stringify(settings), env: {} }).config;
}

/** A route to M-Pesa, resolved, with parts of it replaced by what no file can say. */
export function mpesaRoute(parts: Partial<RouteConfig>): RouteConfig {
  const credentials = { consumer_key: 'ck-canary', consumer_secret: 'cs-canary' };
  const { routes } = configOf({ routes: { '/mpesa/*': { provider: 'mpesa', credentials } } });
  return { ...routes[0]!, ...parts };
}

/** Checks these routes without a file, over the real network except for what `replaced` replaces. */
export async function diagnosed(
  routes: readonly RouteConfig[],
  { call = false, ...replaced }: Partial<Probes> & { readonly call?: boolean } = {},
) {
  const probes = { clock: systemClock, transport: network(), ...replaced };
  const checks = await runChecks({ tokenStore: undefined, routes }, routes, {
    origins: () => undefined,
    probes,
    sendsCall: call,
  });
  return {
    code: exitCodeOf(checks),
    printed: textReport(checks, false) + jsonReport(checks, { problems: [], warnings: [] }),
    check(name: CheckName, index = 0): CheckResult {
      const check = checks.routes[index]!.checks.find((each) => each.name === name);
      expect(check, name).toBeDefined();
      return check!;
    },
  };
}

/** A token endpoint on loopback, closed when the test ends. @returns its origin */
export async function serve(listener: RequestListener): Promise<string> {
  return `http://127.0.0.1:${await listen(createHttpServer(listener))}`;
}

/** The same over TLS. @returns its port */
export async function serveTls(
  { cert, key }: Issued,
  listener: RequestListener = (_, response) => response.end('{}'),
  options: TlsOptions = {},
) {
  return await listen(createHttpsServer({ cert, key, ...options }, listener));
}

/** A TCP server whose connections `onSocket` handles. @returns the port */
export async function serveSockets(onSocket: (socket: Socket) => void = () => undefined): Promise<number> {
  return await listen(createTcpServer((socket) => onSocket(socket.on('error', () => undefined))));
}

/** A token endpoint with a new token for each request, like M-Pesa's. */
export function tokens(date?: Date): RequestListener {
  let count = 0;
  return (_, response) => {
    if (date !== undefined) response.setHeader('date', date.toUTCString());
    response.end(JSON.stringify({ access_token: `t-canary-${++count}`, expires_in: '3599' }));
  };
}

/** A resolver that resolves every name to this machine. */
export const everyNameIsHere: LookupFunction = (_, options, callback) => {
  if (options.all === true) callback(null, [{ address: '127.0.0.1', family: 4 }]);
  else callback(null, '127.0.0.1', 4);
};

/** A resolver that fails with this code. */
export function brokenLookup(code: string): LookupFunction {
  return (_, options, callback) => callback(Object.assign(new Error(code), { code }), options.all === true ? [] : '');
}

/** `expect.stringContaining`, without its `any`. */
export const containing = (text: string): unknown => expect.stringContaining(text);

/** `expect.stringMatching`, without its `any`. */
export const matching = (pattern: RegExp): unknown => expect.stringMatching(pattern);
