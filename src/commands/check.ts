import type { ListenAddress } from '../config/config.ts';
import { validateConfig } from '../config/load.ts';
import { printConfigJson, printProblems } from './examined.ts';
import { EXIT, type Io } from './io.ts';
import { routeLines } from './route-table.ts';

export interface CheckOptions {
  /** Path of the configuration file. */
  readonly config: string;
  readonly json: boolean;
  readonly listen?: ListenAddress | undefined;
  readonly admin?: ListenAddress | false | undefined;
}

/** Says whether a configuration file is good, without network. Exit code: 0 good, 3 not. */
export function check(options: CheckOptions, io: Pick<Io, 'stdout' | 'stderr' | 'env'>): number {
  const { config: file, json, listen, admin } = options;
  const checked = validateConfig(file, { env: io.env, listen, admin });
  const routes = checked.config?.routes ?? [];
  if (json) {
    printConfigJson(
      checked,
      ({ name, provider, environment, upstream }) => ({ name, provider: provider.name, environment, upstream }),
      io,
    );
  } else printProblems(file, checked, io);
  if (checked.config === undefined) return EXIT.config;
  if (!json) {
    io.stdout(`${file}: ok, ${routes.length === 1 ? '1 route' : `${routes.length} routes`}\n`);
    for (const line of routeLines(routes)) io.stdout(`  ${line}\n`);
  }
  return EXIT.ok;
}
