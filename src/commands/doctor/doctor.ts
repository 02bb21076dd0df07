import { systemClock } from '../../clock.ts';
import { validateConfig, type ValidatedConfig } from '../../config/load.ts';
import { ConfigError, formatProblem } from '../../errors.ts';
import { networkTransport } from '../../tokens/transport.ts';
import { EXIT, type Io, wantsColour } from '../io.ts';
import { reportStartFailure } from '../run.ts';
import { selectRoutes } from '../select-routes.ts';
import { exitCodeOf, jsonReport, textReport } from './report.ts';
import { runChecks } from './run-checks.ts';
import { originsIn } from './token-checks.ts';

interface DoctorOptions {
  /** Path of the configuration file. */
  readonly config: string;
  /** The route to check, as `/mpesa/*`, `/mpesa` or `mpesa`; undefined for all. */
  readonly route: string | undefined;
  readonly json: boolean;
  /** Whether one harmless API request is sent on each route. */
  readonly call: boolean;
}

/**
 * Does what the proxy does up to the first token: looks names up, connects, checks certificates, and requests one token
 * for each credential. With `call` it also sends one harmless request to each API.
 * @returns the exit code: 0 all fine, 1 another failure, 2 no such route, 3 invalid configuration, 4 credentials refused,
 * 5 something could not be reached; 4 if both
 */
export async function doctor({ config: file, route, json, call }: DoctorOptions, io: Io): Promise<number> {
  const validated = validateConfig(file, { env: io.env });
  const { config, warnings } = validated;
  if (config === undefined) return reportInvalidConfig(validated, json, io);
  const selected = route === undefined ? { routes: config.routes } : selectRoutes(config.routes, route);
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
    const checks = await runChecks(config, selected.routes, {
      origins: originsIn(file, validated.texts.get(validated.files[0] ?? '') ?? ''),
      sendsCall: call,
      probes: { clock: systemClock, transport: network.transport },
    });
    io.stdout(json ? jsonReport(checks, validated) : textReport(checks, wantsColour(io)));
    return exitCodeOf(checks);
  } finally {
    network.close();
  }
}

function reportInvalidConfig(validated: ValidatedConfig, json: boolean, io: Io): number {
  if (!json) return reportStartFailure(new ConfigError(validated.problems), io);
  io.stdout(jsonReport({ routes: [], tokenStore: undefined }, validated));
  return EXIT.config;
}
