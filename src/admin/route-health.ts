import type { RouteConfig } from '../config/config.ts';
import { diagnose, diagnoseClock, diagnoseStore } from '../diagnosis/diagnosis.ts';
import { type Diagnosis, tokenContext } from '../diagnosis/diagnosis-context.ts';
import type { LastFailure } from '../telemetry/route-stats.ts';
import type { CredentialSnapshot, Reloads } from '../telemetry/snapshot.ts';
import type { TokenFailure } from '../tokens/exchange-stats.ts';
import type { StoreStatus } from '../tokens/store/store.ts';

/** `failing`: requests fail. `warning`: requests succeed, but something needs attention. */
export type Health = 'ok' | 'warning' | 'failing';

/** Something that is wrong now. */
export interface Diagnostic extends Diagnosis {
  readonly state: 'warning' | 'failing';
  /** When it was last seen, epoch milliseconds; undefined if it is still the case. */
  readonly atMs?: number | undefined;
  /** When Wakala tries again by itself, epoch milliseconds. */
  readonly untilMs?: number | undefined;
}

interface RouteFacts {
  readonly route: RouteConfig;
  readonly credential: CredentialSnapshot | undefined;
  /** The last failed request, unless the provider has responded since. */
  readonly failure: LastFailure | undefined;
  readonly nowMs: number;
}

/** Refused requests that are named; the others are counted. */
const MAX_NAMED_REQUESTS = 3;

/** The health of a route and everything that is wrong with it, the worst first. */
export function routeHealth(facts: RouteFacts): {
  readonly state: Health;
  readonly diagnostics: readonly Diagnostic[];
} {
  const found = [tokenFailure(facts), requestFailure(facts), refusedRequests(facts), clockSkew(facts)].filter(
    (diagnostic) => diagnostic !== undefined,
  );
  const isFailing = ({ state }: Diagnostic) => state === 'failing';
  const diagnostics = [...found.filter(isFailing), ...found.filter((diagnostic) => !isFailing(diagnostic))];
  return { state: diagnostics[0]?.state ?? 'ok', diagnostics };
}

function tokenFailure({ route, credential, nowMs }: RouteFacts): Diagnostic | undefined {
  const failure = credential?.failure;
  if (credential === undefined || failure === undefined) return undefined;
  const diagnosis = {
    ...diagnoseTokenFailure(route, failure),
    atMs: failure.atMs,
    untilMs: credential.retryAtMs > nowMs ? credential.retryAtMs : undefined,
  };
  if ((credential.token?.expiresAtMs ?? 0) <= nowMs) return { ...diagnosis, state: 'failing' };
  const meanwhile = 'Requests still succeed with the current token until it expires.';
  return { ...diagnosis, state: 'warning', what: `${diagnosis.what} ${meanwhile}` };
}

function diagnoseTokenFailure(route: RouteConfig, { reason, detail }: TokenFailure): Diagnosis {
  if (reason !== undefined) return diagnose(reason, tokenContext(route));
  const hint = `\`wakala doctor '${route.name}'\` tries each step of the token request.`;
  return { code: 'token_unavailable', what: detail, hint };
}

/** A failure of the token is left to `tokenFailure`. */
function requestFailure({ route, failure }: RouteFacts): Diagnostic | undefined {
  if (failure === undefined || failure.code === 'token_denied' || failure.code === 'token_unavailable') {
    return undefined;
  }
  const state = failure.code === 'overloaded' ? 'warning' : 'failing';
  return { ...diagnoseRequestFailure(route, failure), state, atMs: failure.atMs };
}

function diagnoseRequestFailure(route: RouteConfig, { code, reason, detail, requestId }: LastFailure): Diagnosis {
  const hint = `Look for request ${requestId} in the log of Wakala.`;
  if (reason === undefined || reason.kind === 'internal') return { code, what: detail, hint };
  const { host } = new URL(route.upstream);
  const diagnosis = diagnose(reason, { server: 'upstream', host, key: 'upstream' });
  const wasNotSent = reason.kind === 'network' || (reason.kind === 'timeout' && reason.phase === 'connect');
  return wasNotSent ? { ...diagnosis, what: `${diagnosis.what} The request was not sent.` } : diagnosis;
}

function refusedRequests({ route, credential }: RouteFacts): Diagnostic | undefined {
  const calls = credential?.refusedCalls ?? [];
  if (calls.length === 0) return undefined;
  const named = calls
    .slice(0, MAX_NAMED_REQUESTS)
    .map(({ client, call }) => (client === undefined ? call : `${call} by ${client}`));
  const rest = Math.max(calls.length, credential?.refusedCallCount ?? 0) - named.length;
  const more = rest > 0 ? ` and ${rest} more` : '';
  return {
    code: 'token_refused_for_calls',
    state: 'warning',
    what: `${route.provider.title} refuses even a fresh token for ${named.join(', ')}${more}. It accepts the token for other requests.`,
    hint: 'Usually the app lacks the API product for this request, and the provider calls that "invalid token". Add the product to the app on the provider\'s portal.',
    untilMs: Math.max(...calls.map(({ untilMs }) => untilMs)),
  };
}

function clockSkew({ route, credential }: RouteFacts): Diagnostic | undefined {
  const diagnosis = diagnoseClock(credential?.clockSkewMs, tokenContext(route).host ?? '');
  return diagnosis && { ...diagnosis, state: 'warning' };
}

export function storeHealth(store: StoreStatus | undefined): Diagnostic | undefined {
  if (store === undefined || store.connected) return undefined;
  return { ...diagnoseStore(store.failure), state: 'warning' };
}

export function reloadHealth({ failure }: Reloads): Diagnostic | undefined {
  if (failure === undefined) return undefined;
  return {
    code: 'reload_refused',
    state: 'warning',
    what: `Wakala rejected the configuration on disk and keeps the previous one: ${failure}`,
    hint: 'Fix the file: `wakala check` shows everything that is wrong with it. Wakala loads it as soon as it is valid.',
  };
}
