import type { RouteConfig } from '../config/config.ts';

/** Name, provider, environment and upstream of every route, in columns below `head`. Production is in capitals. */
export function routeLines(routes: readonly RouteConfig[], head: readonly (readonly string[])[] = []): string[] {
  const rows = [...head, ...routes.map(cellsOf)];
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
}

function cellsOf({ name, provider, environment, upstream }: RouteConfig): string[] {
  return [name, provider.name, environment === 'production' ? 'PRODUCTION' : environment, upstream];
}
