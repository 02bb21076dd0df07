import type { RouteConfig } from '../../config/config.ts';
import { didYouMean } from '../../config/nearest.ts';

/** The routes a user means: all, or the one named as `/mpesa/*`, `/mpesa` or `mpesa`; else a sentence on what there is. */
export function selectRoutes(
  routes: readonly RouteConfig[],
  named: string | undefined,
): { readonly routes: readonly RouteConfig[] } | { readonly problem: string } {
  if (named === undefined) return { routes };
  const found = routes.filter(({ name }) => bare(name) === bare(named));
  if (found.length > 0) return { routes: found };
  const names = routes.map(({ name }) => name);
  const guess = didYouMean(bare(named), names.map(bare)) || `; there are ${names.join(', ')}`;
  return { problem: `no route is named \`${named}\`${guess}` };
}

/** `mpesa` of `/mpesa/*`; empty for `/*`. */
function bare(name: string): string {
  return name.replace(/^\//, '').replace(/\/?\*?$/, '');
}
