import type { Config, RouteConfig } from '../../config/config.ts';
import { silentLog } from '../../log.ts';
import { TokenSources } from '../../tokens/sources.ts';
import type { TokenSource } from '../../tokens/token.ts';
import { checkCredential, type CredentialFindings, notTried } from './credential.ts';
import { checkEndpoint, type EndpointFindings, isReachable } from './endpoint.ts';
import { checkEnvironment } from './environment.ts';
import type { Check, CheckName, Finding } from './finding.ts';
import type { Origins } from './origins.ts';
import { checkTokenStore } from './store.ts';
import { tokenUrl } from './token-url.ts';
import type { Probes } from './world.ts';

export interface RouteDiagnosis {
  readonly route: RouteConfig;
  /** In the order they were made. */
  readonly checks: readonly Check[];
}

export interface Diagnosis {
  readonly routes: readonly RouteDiagnosis[];
  /** Undefined where none is configured. */
  readonly tokenStore: Finding | undefined;
}

/** Checks these routes at the same time: each host once, each credential once. The result has their order. */
export async function diagnose(
  { tokenStore }: Pick<Config, 'tokenStore'>,
  routes: readonly RouteConfig[],
  { origins, world }: { readonly origins: Origins; readonly world: Probes },
): Promise<Diagnosis> {
  const endpointAt = onceFor((origin: string) => checkEndpoint(origin, world));
  const ask = onceFor((route: RouteConfig) => checkCredential(route, origins, world));
  const firstUser = firstUsers(routes, world);
  const checked = await Promise.all(
    routes.map(async (route): Promise<RouteDiagnosis> => {
      const first = firstUser.get(route) ?? route;
      return { route, checks: await checkRoute(route, first, { endpointAt, ask }) };
    }),
  );
  // Afterwards: loading the client of the store would hold up the others, and what they measure.
  return { routes: checked, tokenStore: tokenStore && (await checkTokenStore(tokenStore, world.clock)) };
}

/** `make`, called once for each key. */
function onceFor<Key, Value>(make: (key: Key) => Value): (key: Key) => Value {
  const made = new Map<Key, Value>();
  return (key) => {
    const known = made.get(key);
    if (known !== undefined) return known;
    const value = make(key);
    made.set(key, value);
    return value;
  };
}

/** For each route the first that has the same token, as the proxy shares tokens. */
function firstUsers(
  routes: readonly RouteConfig[],
  { clock, transport }: Probes,
): ReadonlyMap<RouteConfig, RouteConfig> {
  const sources = new TokenSources({ clock, transport, log: silentLog, random: Math.random }, routes.length);
  const first = new Map<TokenSource, RouteConfig>();
  const users = new Map<RouteConfig, RouteConfig>();
  for (const route of routes) {
    const source = sources.for(route);
    users.set(route, first.get(source) ?? route);
    if (!first.has(source)) first.set(source, route);
  }
  sources.close();
  return users;
}

interface Asking {
  readonly endpointAt: (origin: string) => Promise<EndpointFindings>;
  readonly ask: (route: RouteConfig) => Promise<CredentialFindings>;
}

/** `first`: the route whose question for a token counts for this one too. */
async function checkRoute(route: RouteConfig, first: RouteConfig, { endpointAt, ask }: Asking): Promise<Check[]> {
  const environment = checkEnvironment(route);
  const api = new URL(route.upstream).origin;
  const auth = new URL(tokenUrl(route) ?? route.upstream).origin;
  const [apiFindings, authFindings] = await Promise.all([endpointAt(api), endpointAt(auth)]);
  const credential =
    environment.result === 'failed'
      ? notTried('not asked: the host is not that of the environment')
      : isReachable(authFindings) || tokenUrl(route) === undefined
        ? await ask(first)
        : notTried('not asked: the token endpoint cannot be reached');
  return [
    named('environment', environment),
    ...endpointChecks('', apiFindings),
    ...(auth === api ? [] : endpointChecks('auth_', authFindings)),
    named('token', first === route ? credential.token : asOn(first, credential.token)),
    named('lifetime', credential.lifetime),
    named('clock', credential.clock),
  ];
}

function endpointChecks(prefix: '' | 'auth_', { dns, tcp, tls }: EndpointFindings): Check[] {
  return [named(`${prefix}dns`, dns), named(`${prefix}tcp`, tcp), named(`${prefix}tls`, tls)];
}

function named(name: CheckName, finding: Finding): Check {
  return { name, ...finding };
}

function asOn(first: RouteConfig, finding: Finding): Finding {
  if (finding.result === 'skipped') return finding;
  return {
    ...finding,
    saw: `as on ${first.name}, asked once for the same credentials: ${finding.saw}`,
  };
}
