import { type ExchangeRequest, isRequested } from '../providers/provider.ts';
import { SIGNATURES, type SignRule } from '../providers/sign-rule.ts';
import { placeholdersIn } from '../providers/template.ts';
import type { Secret } from '../secret.ts';
import { CompiledRule } from '../signing/rule.ts';
import { type SignProblem, type SignScope, signScopeOf } from '../signing/scope.ts';
import { signProblems } from '../signing/sign-problems.ts';
import { CompiledValues, HeaderValue } from '../signing/value-list.ts';
import type { RouteConfig } from './config.ts';
import { type Diagnostics, didYouMean } from './diagnostics.ts';
import type { Path } from './source.ts';

interface CheckContext {
  readonly report: Diagnostics;
  /** The number of rules that come from the provider. They are first in the list. */
  readonly providerRules: number;
  /** Credentials whose value is a stand-in, which cannot be checked. */
  readonly missing: ReadonlySet<string>;
  /** Optional credentials that the route leaves out. */
  readonly absent: readonly string[];
}

/** Reports what is wrong with everything that a route computes. `path`: of the route. */
export function checkSign(path: Path, route: RouteConfig, context: CheckContext): void {
  const { provider, credentials } = route;
  const { report, missing, providerRules } = context;
  const checked = new Map<string, Secret | undefined>(credentials);
  for (const name of missing) checked.set(name, undefined);
  const scope = signScopeOf(provider, checked);
  const reporter = new Reporter(path, context);
  const { sign = [], tokenHeader } = provider;
  if (sign.length > 0) {
    const nameOf = (index: number) =>
      index < providerRules
        ? `the provider's rule for \`${sign[index]?.calls[0] ?? ''}\``
        : `\`sign.${index - providerRules}\``;
    for (const problem of signProblems(sign, scope, nameOf)) {
      const [index, ...below] = problem.path;
      reporter.report([...path, 'sign', Number(index) - providerRules, ...below], problem);
    }
    checkAllow(path, route, report);
    checkBodies(path, route, scope, context);
  }
  if (tokenHeader?.value !== undefined) {
    const at = [...path, 'token', 'header_value'];
    const isText = report.keysAt(at).length === 0;
    new HeaderValue(tokenHeader.value, { ...scope, hasRequest: false }, (problem) =>
      reporter.report(isText ? at : [...at, ...problem.path], problem),
    );
  }
  checkRequestValues(path, route, scope, reporter);
}

/** Reports problems of rules at their place in the file. */
class Reporter {
  readonly #path: Path;
  readonly #report: Diagnostics;
  readonly #absent: readonly string[];

  constructor(path: Path, { report, absent }: CheckContext) {
    this.#path = path;
    this.#report = report;
    this.#absent = absent;
  }

  /** A problem with the value of a credential is reported where the credential is. */
  report(at: Path, { text, credential, unknown }: SignProblem): void {
    // The rule is checked without its invalid part, which causes further problems that the file does not have.
    if (this.#report.hasProblemBelow(at)) return;
    const credentials = [...this.#path, 'credentials'];
    const isOfCredential = credential !== undefined && this.#report.keysAt(credentials).includes(credential);
    const isAbsent = unknown !== undefined && this.#absent.includes(unknown.name);
    const guess = unknown === undefined ? '' : didYouMean(unknown.name, unknown.known);
    const hint = isAbsent ? '; add it under `credentials`' : guess;
    this.#report.problem(isOfCredential ? [...credentials, credential] : at, `${text}${hint}`);
  }
}

function checkRequestValues(path: Path, { provider }: RouteConfig, scope: SignScope, reporter: Reporter): void {
  const check = (request: ExchangeRequest | undefined, at: Path, names: readonly string[]) => {
    const { values } = request ?? {};
    if (values === undefined) return;
    new CompiledValues(values, { ...scope, names, hasRequest: false }, (problem) =>
      reporter.report([...path, ...at, 'values', ...problem.path], problem),
    );
  };
  if (!isRequested(provider.token)) return;
  check(provider.token.request, ['token', 'request'], []);
  check(provider.refresh?.request, ['token', 'refresh', 'request'], ['refresh_token']);
}

/** Reports rules that would sign, or encrypt a credential, for every call of every client. */
function checkAllow(path: Path, route: RouteConfig, report: Diagnostics): void {
  const { environment, allow, provider, credentials } = route;
  if (environment !== 'production' || allow !== undefined || report.isSilenced([...path, 'allow'])) return;
  const rule = provider.sign?.find((each) => authorizes(each, new Set(credentials.keys())));
  if (rule === undefined) return;
  const call = (rule.calls[0] ?? '').replace(/\{.*/, '*');
  const text =
    'in production, rules that sign with a private key or encrypt a credential need `allow`: without it, every caller ' +
    `can have any call signed; list the calls that the app makes, such as \`allow: ['${call}']\``;
  report.problem(path, text, 'allow');
}

/** Whether a rule uses a private key, or encrypts a text with a credential in it. */
function authorizes({ values = {} }: SignRule, credentials: ReadonlySet<string>): boolean {
  const holding = new Set(credentials);
  return Object.entries(values).some(([name, value]) => {
    if (SIGNATURES.some((signature) => value[signature] !== undefined)) return true;
    const holds = (text: string | undefined) => placeholdersIn(text ?? '').some((each) => holding.has(each));
    // A digest or an HMAC of a credential is not the credential.
    if (holds(value.text) || holds(value.aes_256_cbc)) holding.add(name);
    return holds(value.rsa_encrypt);
  });
}

/** Methods whose requests have no body, usually (RFC 9110 9.3.1, 9.3.2). */
const METHODS_WITHOUT_BODY = new Set<string | undefined>(['GET', 'HEAD']);

function checkBodies(
  path: Path,
  { provider, replayLimitBytes }: RouteConfig,
  scope: SignScope,
  { report, providerRules }: CheckContext,
): void {
  const rules = (provider.sign ?? []).map((rule) => new CompiledRule(rule, [], scope, new Set(), () => undefined));
  if (replayLimitBytes === 0 && rules.some(({ needsBody }) => needsBody)) {
    const text =
      'is 0, but the rules of `sign` need the body, which is held up to this size; raise it, such as `64KiB`';
    report.problem([...path, 'replay_limit'], text);
  }
  for (const [i, rule] of rules.slice(providerRules).entries()) {
    const index = rule.refusesEmptyBody ? rule.calls.findIndex(({ method }) => METHODS_WITHOUT_BODY.has(method)) : -1;
    const { method = '' } = rule.calls[index] ?? {};
    if (index === -1) continue;
    const text = `the rule reads or changes fields of the body, so it refuses a ${method} request without a body; give ${method} a rule without them`;
    report.warn([...path, 'sign', i, 'calls', index], text);
  }
}
