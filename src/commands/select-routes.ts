import type { RouteConfig } from '../config/config.ts';
import { didYouMean } from '../config/diagnostics.ts';

/** The routes with this name: `/mpesa/*`, `/mpesa` or `mpesa`. `problem` is for the terminal. */
export function selectRoutes(
  routes: readonly RouteConfig[],
  named: string,
): { readonly routes: readonly RouteConfig[] } | { readonly problem: string } {
  const found = routes.filter(({ name }) => bareName(name) === bareName(named));
  if (found.length > 0) return { routes: found };
  const names = routes.map(({ name }) => name);
  const guess = didYouMean(bareName(named), names.map(bareName)) || `; the routes are ${names.join(', ')}`;
  return { problem: `no route is named \`${named}\`${guess}` };
}

/** `mpesa` for `/mpesa/*`; empty for `/*`. */
function bareName(name: string): string {
  return name.replace(/^\//, '').replace(/\/?\*?$/, '');
}
