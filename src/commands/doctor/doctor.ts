import { systemClock } from '../../clock.ts';
import type { RouteConfig } from '../../config/config.ts';
import { didYouMean } from '../../config/diagnostics.ts';
import { validateConfig, type ValidatedConfig } from '../../config/load.ts';
import { ConfigError, formatProblem } from '../../errors.ts';
import { guardedLookup } from '../../http/ip-address.ts';
import { networkTransport } from '../../tokens/transport.ts';
import { EXIT, type Io, wantsColour } from '../io.ts';
import { reportStartFailure } from '../run.ts';
import { diagnose } from './diagnose.ts';
import { exitCodeOf, jsonReport, textReport } from './report.ts';
import { originsIn } from './token-checks.ts';

/** The routes a user means: all, or the one named as `/mpesa/*`, `/mpesa` or `mpesa`; else a sentence on what there is. */
function selectRoutes(
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

interface DoctorOptions {
  /** Path of the configuration file. */
  readonly config: string;
  /** The route to check, as `/mpesa/*`, `/mpesa` or `mpesa`; undefined: all. */
  readonly route: string | undefined;
  readonly json: boolean;
}

/**
 * Asks the providers of a configuration what the proxy would ask them: names, connections, certificates, one token for
 * each credential. Exit code: 0 all fine, 1 something else is wrong, 2 no such route, 3 bad configuration, 4 credentials
 * refused, 5 something could not be reached; where both, 4.
 */
export async function doctor({ config: file, route, json }: DoctorOptions, io: Io): Promise<number> {
  const examined = validateConfig(file, { env: io.env });
  const { config, warnings } = examined;
  if (config === undefined) return reportBadConfig(examined, json, io);
  const selected = selectRoutes(config.routes, route);
  if ('problem' in selected) {
    io.stderr(`wakala doctor: ${selected.problem}\n`);
    return EXIT.usage;
  }
  if (!json) {
    for (const { message, ...place } of warnings) {
      io.stderr(`${formatProblem({ ...place, message: `warning: ${message}` })}\n`);
    }
  }
  const network = networkTransport(systemClock);
  try {
    const diagnosis = await diagnose(config, selected.routes, {
      origins: originsIn(file, examined.texts.get(examined.files[0] ?? '') ?? ''),
      world: { clock: systemClock, lookup: guardedLookup, transport: network.transport },
    });
    io.stdout(json ? jsonReport(diagnosis, examined) : textReport(diagnosis, wantsColour(io)));
    return exitCodeOf(diagnosis);
  } finally {
    network.close();
  }
}

function reportBadConfig(examined: ValidatedConfig, json: boolean, io: Io): number {
  if (!json) return reportStartFailure(new ConfigError(examined.problems), io);
  io.stdout(jsonReport({ routes: [], tokenStore: undefined }, examined));
  return EXIT.config;
}
