import type { ValidatedConfig } from '../../config/load.ts';
import { EXIT } from '../io.ts';
import type { Diagnosis, RouteDiagnosis } from './diagnose.ts';
import type { Finding, Result } from './finding.ts';

/** What the exit code says: refused credentials before what is out of reach, and both before anything else wrong. */
export function exitCodeOf(diagnosis: Diagnosis): number {
  const faults = new Set(findingsOf(diagnosis).map(({ fault }) => fault));
  if (faults.has('denied')) return EXIT.denied;
  if (faults.has('unreachable')) return EXIT.unreachable;
  return faults.has('wrong') ? EXIT.runtime : EXIT.ok;
}

/** One JSON object, whose names users rely on. */
export function jsonReport(
  diagnosis: Diagnosis,
  { problems, warnings }: Pick<ValidatedConfig, 'problems' | 'warnings'>,
) {
  const report = {
    ok: problems.length === 0 && exitCodeOf(diagnosis) === EXIT.ok,
    problems,
    warnings,
    routes: diagnosis.routes.map(({ route, checks }) => ({
      route: route.name,
      provider: route.provider.name,
      environment: route.environment,
      upstream: route.upstream,
      checks: checks.map((check) => ({ name: check.name, ...shown(check) })),
    })),
    ...(diagnosis.tokenStore && { token_store: shown(diagnosis.tokenStore) }),
  };
  return `${JSON.stringify(report, null, 2)}\n`;
}

function shown({ result, saw, remedy }: Finding) {
  return { result, saw, remedy: remedy ?? null };
}

const COLOURS: Readonly<Record<Result, string>> = { ok: '32', warning: '33', failed: '31', skipped: '2' };
const WORDS: Readonly<Record<Result, string>> = { ok: 'ok', warning: 'WARN', failed: 'FAILED', skipped: 'skipped' };

/** For people: a block for each route, and a summary line at the end. */
export function textReport(diagnosis: Diagnosis, colour: boolean): string {
  const paint = (code: string, text: string) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  const line = (name: string, { result, saw, remedy }: Finding) => [
    `  ${paint(COLOURS[result], WORDS[result].padEnd(7))}  ${name.padEnd(NAME_WIDTH)}  ${saw}`,
    ...(remedy === undefined ? [] : [`  ${' '.repeat(7 + 2 + NAME_WIDTH)}  ${paint('1', '->')} ${remedy}`]),
  ];
  const blocks = diagnosis.routes.map(({ route, checks }) => {
    const { name, provider, environment, upstream } = route;
    const where = environment === 'production' ? paint('1;31', 'PRODUCTION') : environment;
    const head = `${paint('1', name)}  ${provider.name}  ${where}  ${upstream}`;
    return [head, ...checks.flatMap((check) => line(check.name.replace('_', ' '), check)), ''];
  });
  const { tokenStore } = diagnosis;
  if (tokenStore !== undefined) blocks.push([paint('1', 'token store'), ...line('redis', tokenStore), '']);
  return `${[...blocks.flat(), summary(diagnosis)].join('\n')}\n`;
}

/** As wide as the longest name of a check. */
const NAME_WIDTH = 'environment'.length;

const VERDICTS: Readonly<Record<number, string>> = {
  [EXIT.ok]: 'all fine',
  [EXIT.runtime]: 'something is wrong',
  [EXIT.denied]: 'credentials were refused',
  [EXIT.unreachable]: 'something could not be reached',
};

function summary(diagnosis: Diagnosis): string {
  const results = findingsOf(diagnosis).map(({ result }) => result);
  const counts = (['ok', 'warning', 'failed', 'skipped'] as const).flatMap((result) => {
    const count = results.filter((each) => each === result).length;
    if (count === 0) return [];
    return [`${count} ${result === 'warning' && count > 1 ? 'warnings' : result}`];
  });
  const routes = diagnosis.routes.length === 1 ? '1 route' : `${diagnosis.routes.length} routes`;
  return `${routes}: ${VERDICTS[exitCodeOf(diagnosis)] ?? ''} (${counts.join(', ')})`;
}

function findingsOf({ routes, tokenStore }: Diagnosis): Finding[] {
  const checks = routes.flatMap((diagnosis: RouteDiagnosis): readonly Finding[] => diagnosis.checks);
  return tokenStore === undefined ? checks : [...checks, tokenStore];
}
