import type { RouteConfig } from '../config/config.ts';
import type { LastFailure } from '../telemetry/activity.ts';
import type { StoreStatus } from '../tokens/shared/open.ts';
import { formatDuration } from './format.ts';
import type { Reloads } from './listener.ts';
import type { Advice } from './network-advice.ts';
import type { CredentialSnapshot } from './snapshot.ts';
import { tokenAdvice, tokenHostOf } from './token-advice.ts';
import { upstreamAdvice } from './upstream-advice.ts';

/** `failing`: calls fail. `warning`: calls work, but something wants to be looked at. */
export type State = 'ok' | 'warning' | 'failing';

/** Something that is wrong now, and what to do about it. */
export interface Problem extends Advice {
  readonly state: 'warning' | 'failing';
  /** When it was seen last, epoch milliseconds; undefined: it is so now. */
  readonly atMs?: number | undefined;
  /** When wakala tries again by itself, epoch milliseconds. */
  readonly untilMs?: number | undefined;
}

export interface RouteDiagnosis {
  readonly route: RouteConfig;
  readonly credential: CredentialSnapshot | undefined;
  /** The last call that failed, unless the provider answered since. */
  readonly failure: LastFailure | undefined;
  readonly nowMs: number;
}

/** The clock of this machine may be off by so much before it is said. */
const CLOCK_MS = 30_000;

/** Refused calls that are named; more are counted. */
const NAMED_CALLS = 3;

/** How a route is, and all that is wrong with it, the worst first. */
export function routeAdvice(judged: RouteDiagnosis): { readonly state: State; readonly problems: readonly Problem[] } {
  const found = [...tokenProblems(judged), ...callProblems(judged), ...refusedCalls(judged), ...clockProblems(judged)];
  const problems = [...found.filter(isFailing), ...found.filter((problem) => !isFailing(problem))];
  return { state: problems[0]?.state ?? 'ok', problems };
}

function isFailing({ state }: Problem): boolean {
  return state === 'failing';
}

function tokenProblems({ route, credential, nowMs }: RouteDiagnosis): Problem[] {
  const failure = credential?.failure;
  if (credential === undefined || failure === undefined) return [];
  const advice = tokenAdvice(route, failure);
  const about = {
    ...advice,
    atMs: failure.atMs,
    untilMs: credential.retryAtMs > nowMs ? credential.retryAtMs : undefined,
  };
  if ((credential.token?.expiresAtMs ?? 0) <= nowMs) return [{ ...about, state: 'failing' }];
  const meanwhile = 'Calls still go through, with the token at hand until it runs out.';
  return [{ ...about, state: 'warning', what: `${advice.what} ${meanwhile}` }];
}

function callProblems({ route, failure }: RouteDiagnosis): Problem[] {
  const advice = failure && upstreamAdvice(route, failure);
  if (advice === undefined) return [];
  return [{ ...advice, state: failure?.code === 'overloaded' ? 'warning' : 'failing', atMs: failure?.atMs }];
}

function refusedCalls({ route, credential }: RouteDiagnosis): Problem[] {
  const calls = credential?.refusedCalls ?? [];
  const [first] = calls;
  if (first === undefined) return [];
  const named = calls
    .slice(0, NAMED_CALLS)
    .map(({ client, call }) => (client === undefined ? call : `${call} by ${client}`));
  const rest = Math.max(calls.length, credential?.refusedCallCount ?? 0) - named.length;
  const more = rest > 0 ? ` and ${rest} more` : '';
  const which = `${named.join(', ')}${more}`;
  return [
    {
      code: 'token_refused_for_calls',
      state: 'warning',
      what: `${route.provider.title} refuses even a fresh token for ${which}, while the token is good for other calls.`,
      todo: 'Most often the app lacks the API product that this call belongs to, and the provider says "invalid token" for that: add the product to the app on the provider\'s portal.',
      untilMs: Math.max(...calls.map(({ untilMs }) => untilMs)),
    },
  ];
}

function clockProblems({ route, credential }: RouteDiagnosis): Problem[] {
  const skewMs = credential?.clockSkewMs ?? 0;
  if (Math.abs(skewMs) <= CLOCK_MS) return [];
  const side = skewMs > 0 ? 'behind' : 'ahead of';
  return [
    {
      code: 'clock_off',
      state: 'warning',
      what: `The clock of this machine is ${formatDuration(Math.abs(skewMs))} ${side} that of ${tokenHostOf(route)}.`,
      todo: 'Turn time synchronisation (NTP) on for this machine, with `timedatectl set-ntp true` for example. Certificates and tokens are judged by its clock.',
    },
  ];
}

/** What is wrong with the store that copies of wakala share their tokens in. */
export function storeProblem(store: StoreStatus | undefined): Problem | undefined {
  if (store === undefined || store.connected) return undefined;
  const why = store.failure === undefined ? '' : ` (${store.failure})`;
  const login = /WRONGPASS|NOAUTH|NOPERM/.test(store.failure ?? '');
  return {
    code: 'token_store_away',
    state: 'warning',
    what: `The token store (Redis) cannot be reached${why}. Meanwhile each copy of Wakala asks for tokens of its own; calls go on.`,
    todo: login
      ? 'Redis answers, but refuses the login: check user and password in the URL of `token_store`.'
      : 'Check that Redis runs and that this machine reaches it; its URL is under `token_store`. Wakala connects again by itself.',
  };
}

/** Why the configuration on disk is not the one that serves. */
export function reloadProblem({ failure }: Reloads): Problem | undefined {
  if (failure === undefined) return undefined;
  return {
    code: 'reload_refused',
    state: 'warning',
    what: `The configuration on disk was refused, and the one before it serves on: ${failure}`,
    todo: 'Mend the file: `wakala check` shows all that is wrong with it. It is taken over as soon as it is good.',
  };
}
