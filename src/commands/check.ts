import type { ListenAddress, Route } from '../config/config.ts';
import { type Examined, examineConfig } from '../config/load.ts';
import { formatProblem } from '../errors.ts';
import { EXIT, type Io } from './io.ts';

type Output = Pick<Io, 'stdout' | 'stderr' | 'env'>;

export interface CheckOptions {
  /** Path of the configuration file. */
  readonly config: string;
  readonly json: boolean;
  readonly listen?: ListenAddress | undefined;
  readonly admin?: ListenAddress | false | undefined;
}

/** Says whether a configuration file is good, without network. Exit code: 0 good, 3 not. */
export function check(options: CheckOptions, io: Output): number {
  const { config: file, listen, admin } = options;
  const checked = examineConfig(file, { env: io.env, listen, admin });
  if (options.json) printJson(checked, io);
  else printText(file, checked, io);
  return checked.config === undefined ? EXIT.config : EXIT.ok;
}

function printJson({ config, problems, warnings }: Examined, io: Output): void {
  const routes = config?.routes.map(({ name, provider, environment, upstream }) => ({
    name,
    provider: provider.name,
    environment,
    upstream,
  }));
  io.stdout(`${JSON.stringify({ ok: config !== undefined, problems, warnings, routes: routes ?? [] }, null, 2)}\n`);
}

function printText(file: string, { config, problems, warnings }: Examined, io: Output): void {
  for (const problem of problems) io.stderr(`${formatProblem(problem)}\n`);
  for (const { message, ...place } of warnings) {
    io.stderr(`${formatProblem({ ...place, message: `warning: ${message}` })}\n`);
  }
  if (config === undefined) {
    io.stderr(`${file}: ${problems.length === 1 ? '1 problem' : `${problems.length} problems`}\n`);
    return;
  }
  const { routes } = config;
  io.stdout(`${file}: ok, ${routes.length === 1 ? '1 route' : `${routes.length} routes`}\n`);
  for (const line of routeLines(routes)) io.stdout(`  ${line}\n`);
}

function routeLines(routes: readonly Route[]): string[] {
  const rows = routes.map((route) => [
    route.name,
    route.provider.name,
    route.environment === 'production' ? 'PRODUCTION' : route.environment,
    route.upstream,
  ]);
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
}
