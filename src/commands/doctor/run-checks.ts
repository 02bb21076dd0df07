import type { Clock } from '../../clock.ts';
import type { Config, RouteConfig, TokenStoreConfig } from '../../config/config.ts';
import { diagnoseStore } from '../../diagnosis/diagnosis.ts';
import { type DiagnosisContext, tokenContext, tokenUrl } from '../../diagnosis/diagnosis-context.ts';
import { isLoopbackName } from '../../http/ip-address.ts';
import { silentLog } from '../../logger.ts';
import type { Hosts } from '../../providers/provider.ts';
import { RedisStores } from '../../tokens/store/redis.ts';
import { StoreUnavailable } from '../../tokens/store/store.ts';
import type { TokenSource } from '../../tokens/token.ts';
import { TokenSources } from '../../tokens/token-sources.ts';
import { type Check, type CheckName, type CheckResult, failed, ok, warning } from './check-result.ts';
import { checkEndpoint, type EndpointChecks, isReachable } from './network-checks.ts';
import type { Probes } from './probes.ts';
import { checkCredential, type CredentialChecks, type Origins, skippedChecks } from './token-checks.ts';

/** Whether the hosts of a route are those of its environment. */
export function checkEnvironment(
  route: Pick<RouteConfig, 'environment' | 'provider' | 'upstream' | 'authServer'>,
): CheckResult {
  const { environment, provider, upstream } = route;
  const label = environment === 'production' ? 'PRODUCTION (real money)' : 'sandbox';
  const hosts = [...new Set([upstream, tokenUrl(route) ?? upstream].map((url) => new URL(url).host))];
  const other = environment === 'production' ? 'sandbox' : 'production';
  const known = hostsOf(provider.hosts?.[environment]);
  const misplaced = hosts.find((host) => hostsOf(provider.hosts?.[other]).includes(host) && !known.includes(host));
  if (misplaced !== undefined) {
    return failed('wrong', {
      what: `The environment is ${label}, but ${misplaced} is the ${other} host of \`${provider.name}\`.`,
      hint: `Set \`environment: ${other}\` on the route, or remove the URL from it.`,
    });
  }
  const customHost = hosts.find((host) => !known.includes(host));
  if (customHost === undefined) return ok(`${label}, at the host of \`${provider.name}\``);
  return environment === 'production' ? checkProductionHost(label, customHost) : ok(`${label}, at ${customHost}`);
}

function hostsOf(hosts: Hosts | undefined): string[] {
  return hosts === undefined ? [] : [hosts.api, hosts.auth ?? hosts.api].map((url) => new URL(url).host);
}

/** A production route to a host that is not built in. */
function checkProductionHost(label: string, host: string): CheckResult {
  if (isLoopbackName(new URL(`http://${host}`).hostname)) {
    return warning({
      what: `The environment is ${label}, but ${host} is this machine.`,
      hint: 'Set `upstream` to the host of the provider, unless a gateway of yours listens there.',
    });
  }
  if (/\b(sandbox|staging|stage|test|testing|uat|dev|demo)\b/i.test(host)) {
    return warning({
      what: `The environment is ${label}, but ${host} has the name of a test system.`,
      hint: 'Set `environment: sandbox` on the route, or name the production host.',
    });
  }
  return ok(`${label}, at ${host}`);
}

/** The name of a credential that no route has. */
const UNUSED_NAME = 'doctor';

/**
 * Uses the token store as the proxy does, with the same timeouts. The result is never worse than a warning: without the
 * store, each process requests its own tokens.
 */
async function checkTokenStore({ url }: TokenStoreConfig, clock: Clock): Promise<CheckResult> {
  const { host } = new URL(url.reveal());
  const stores = await RedisStores.open({ url, clock, log: silentLog, random: Math.random });
  try {
    const { connected, failure } = stores.status();
    if (!connected) return warning(diagnoseStore(failure, host));
    await stores.storeOf(UNUSED_NAME).read();
    return ok(`${host} is connected and runs Wakala's scripts`);
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    return warning(diagnoseStore(error.code, host));
  } finally {
    stores.close();
  }
}

export interface RouteChecks {
  readonly route: RouteConfig;
  /** In the order in which they ran. */
  readonly checks: readonly Check[];
}

export interface Checks {
  readonly routes: readonly RouteChecks[];
  /** Undefined if none is configured. */
  readonly tokenStore: CheckResult | undefined;
}

/** Checks these routes at the same time: each host once, each credential once. The result has the order of `routes`. */
export async function runChecks(
  { tokenStore }: Pick<Config, 'tokenStore'>,
  routes: readonly RouteConfig[],
  { origins, probes }: { readonly origins: Origins; readonly probes: Probes },
): Promise<Checks> {
  const endpoints = new Map<string, Promise<EndpointChecks>>();
  const credentials = new Map<RouteConfig, Promise<CredentialChecks>>();
  const firstUsers = firstUsersOf(routes, probes);
  const context: CheckContext = {
    checkEndpoint: (origin, key) => once(endpoints, origin, () => checkEndpoint(origin, key, probes)),
    checkCredential: (route) => once(credentials, route, () => checkCredential(route, origins, probes)),
  };
  const checked = await Promise.all(
    routes.map(async (route): Promise<RouteChecks> => {
      return { route, checks: await checkRoute(route, firstUsers.get(route) ?? route, context) };
    }),
  );
  // Last, because loading the Redis client would delay the other checks and what they measure.
  return { routes: checked, tokenStore: tokenStore && (await checkTokenStore(tokenStore, probes.clock)) };
}

function once<Key, Value>(made: Map<Key, Value>, key: Key, make: () => Value): Value {
  const known = made.get(key);
  if (known !== undefined) return known;
  const value = make();
  made.set(key, value);
  return value;
}

/** For each route the first one that has the same token, as the proxy shares tokens. */
function firstUsersOf(
  routes: readonly RouteConfig[],
  { clock, transport }: Probes,
): ReadonlyMap<RouteConfig, RouteConfig> {
  const sources = new TokenSources({ clock, transport, log: silentLog, random: Math.random });
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

interface CheckContext {
  readonly checkEndpoint: (origin: string, key: DiagnosisContext['key']) => Promise<EndpointChecks>;
  readonly checkCredential: (route: RouteConfig) => Promise<CredentialChecks>;
}

/** @param first the route whose token request counts for this one too */
async function checkRoute(route: RouteConfig, first: RouteConfig, context: CheckContext): Promise<Check[]> {
  const environment = checkEnvironment(route);
  const api = new URL(route.upstream).origin;
  const url = tokenUrl(route);
  const auth = new URL(url ?? route.upstream).origin;
  const [apiChecks, authChecks] = await Promise.all([
    context.checkEndpoint(api, 'upstream'),
    context.checkEndpoint(auth, auth === api ? 'upstream' : tokenContext(route).key),
  ]);
  const credential =
    environment.result === 'failed'
      ? skippedChecks('the host is not that of the environment')
      : isReachable(authChecks) || url === undefined
        ? await context.checkCredential(first)
        : skippedChecks('the token endpoint cannot be reached');
  return [
    named('environment', environment),
    ...endpointChecks('', apiChecks),
    ...(auth === api ? [] : endpointChecks('auth_', authChecks)),
    named('token', first === route ? credential.token : sharedWith(first, credential.token)),
    named('lifetime', credential.lifetime),
    named('clock', credential.clock),
  ];
}

function endpointChecks(prefix: '' | 'auth_', { dns, tcp, tls }: EndpointChecks): Check[] {
  return [named(`${prefix}dns`, dns), named(`${prefix}tcp`, tcp), named(`${prefix}tls`, tls)];
}

function named(name: CheckName, result: CheckResult): Check {
  return { name, ...result };
}

function sharedWith(first: RouteConfig, result: CheckResult): CheckResult {
  if (result.result === 'skipped') return result;
  return { ...result, what: `shares the token of ${first.name}: ${result.what}` };
}
