import type { RouteConfig } from '../config/config.ts';
import type { ValidatedConfig } from '../config/load.ts';
import { formatProblem } from '../errors.ts';
import type { Io } from './io.ts';

type Output = Pick<Io, 'stdout' | 'stderr'>;

/** Prints what came of reading a file as one JSON object, with its routes as `described` gives them. */
export function printConfigJson(
  { config, problems, warnings }: ValidatedConfig,
  described: (route: RouteConfig) => object,
  io: Output,
): void {
  const routes = config?.routes.map(described) ?? [];
  io.stdout(`${JSON.stringify({ ok: config !== undefined, problems, warnings, routes }, null, 2)}\n`);
}

/** Prints problems and warnings by their place in the file. */
export function printProblems(file: string, { config, problems, warnings }: ValidatedConfig, io: Output): void {
  for (const problem of problems) io.stderr(`${formatProblem(problem)}\n`);
  for (const { message, ...place } of warnings) {
    io.stderr(`${formatProblem({ ...place, message: `warning: ${message}` })}\n`);
  }
  if (config === undefined) {
    io.stderr(`${file}: ${problems.length === 1 ? '1 problem' : `${problems.length} problems`}\n`);
  }
}
