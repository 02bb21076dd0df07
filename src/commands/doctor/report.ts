import type { ValidatedConfig } from '../../config/load.ts';
import { plural } from '../../format.ts';
import { EXIT } from '../io.ts';
import type { CheckResult, Result } from './check-result.ts';
import type { DoctorReport } from './run-checks.ts';

/** Refused credentials come before what cannot be reached, and that before anything else. */
export function exitCodeOf(report: DoctorReport): number {
  const failures = new Set(resultsOf(report).map(({ failure }) => failure));
  if (failures.has('denied')) return EXIT.denied;
  if (failures.has('unreachable')) return EXIT.unreachable;
  return failures.has('wrong') ? EXIT.runtime : EXIT.ok;
}

/** One JSON object. Its names are public. */
export function jsonReport(
  report: DoctorReport,
  { problems, warnings }: Pick<ValidatedConfig, 'problems' | 'warnings'>,
) {
  const json = {
    ok: problems.length === 0 && exitCodeOf(report) === EXIT.ok,
    problems,
    warnings,
    routes: report.routes.map(({ route, checks }) => ({
      route: route.name,
      provider: route.provider.name,
      environment: route.environment,
      upstream: route.upstream,
      checks: checks.map((check) => ({ name: check.name, ...resultJson(check) })),
    })),
    ...(report.tokenStore && { token_store: resultJson(report.tokenStore) }),
  };
  return `${JSON.stringify(json, null, 2)}\n`;
}

function resultJson({ result, what, hint }: CheckResult) {
  return { result, saw: what, remedy: hint ?? null };
}

const COLOURS: Readonly<Record<Result, string>> = { ok: '32', warning: '33', failed: '31', skipped: '2' };
const LABELS: Readonly<Record<Result, string>> = { ok: 'ok', warning: 'WARN', failed: 'FAILED', skipped: 'skipped' };

/** A block for each route, and a summary line at the end. */
export function textReport(report: DoctorReport, colour: boolean): string {
  const paint = (code: string, text: string) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  const line = (name: string, { result, what, hint }: CheckResult) => [
    `  ${paint(COLOURS[result], LABELS[result].padEnd(7))}  ${name.padEnd(NAME_WIDTH)}  ${what}`,
    ...(hint === undefined ? [] : [`  ${' '.repeat(7 + 2 + NAME_WIDTH)}  ${paint('1', '->')} ${hint}`]),
  ];
  const blocks = report.routes.map(({ route, checks }) => {
    const { name, provider, environment, upstream } = route;
    const where = environment === 'production' ? paint('1;31', 'PRODUCTION') : environment;
    const head = `${paint('1', name)}  ${provider.name}  ${where}  ${upstream}`;
    return [head, ...checks.flatMap((check) => line(check.name.replace('_', ' '), check)), ''];
  });
  const { tokenStore } = report;
  if (tokenStore !== undefined) blocks.push([paint('1', 'token store'), ...line('redis', tokenStore), '']);
  return `${[...blocks.flat(), summary(report)].join('\n')}\n`;
}

/** The longest name of a check. */
const NAME_WIDTH = 'environment'.length;

const SUMMARIES: Readonly<Record<number, string>> = {
  [EXIT.ok]: 'all fine',
  [EXIT.runtime]: 'something is wrong',
  [EXIT.denied]: 'credentials were refused',
  [EXIT.unreachable]: 'something could not be reached',
};

function summary(report: DoctorReport): string {
  const results = resultsOf(report).map(({ result }) => result);
  const counts = (['ok', 'warning', 'failed', 'skipped'] as const).flatMap((result) => {
    const count = results.filter((each) => each === result).length;
    if (count === 0) return [];
    return [`${count} ${result === 'warning' && count > 1 ? 'warnings' : result}`];
  });
  return `${plural(report.routes.length, 'route')}: ${SUMMARIES[exitCodeOf(report)] ?? ''} (${counts.join(', ')})`;
}

function resultsOf({ routes, tokenStore }: DoctorReport): CheckResult[] {
  const results = routes.flatMap(({ checks }): readonly CheckResult[] => checks);
  return tokenStore === undefined ? results : [...results, tokenStore];
}
