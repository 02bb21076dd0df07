import type { Clock } from '../../clock.ts';
import type { Config, RouteConfig, TokenStoreConfig } from '../../config/config.ts';
import { diagnoseStore } from '../../diagnosis/diagnosis.ts';
import { tokenContext, tokenUrl } from '../../diagnosis/diagnosis-context.ts';
import { connectionKey } from '../../http/client/connect-options.ts';
import { formatHostPort } from '../../http/host-port.ts';
import { isLoopbackName } from '../../http/ip-address.ts';
import { silentLog } from '../../logger.ts';
import { type Hosts, isRequested } from '../../providers/provider.ts';
import { UpstreamPools } from '../../proxy/upstream-pools.ts';
import { RedisStores } from '../../tokens/store/redis.ts';
import { StoreUnavailable } from '../../tokens/store/store.ts';
import type { Token, TokenSource } from '../../tokens/token.ts';
import { TokenSources } from '../../tokens/token-sources.ts';
import { checkCall, untriedCall } from './call-check.ts';
import { type Check, type CheckName, type CheckResult, failed, ok, skipped, warning } from './check-result.ts';
import { describeKeys } from './key-check.ts';
import { checkEndpoint, type Endpoint, type EndpointResults, isReachable } from './network-checks.ts';
import type { Probes } from './probes.ts';
import { checkCredential, type CredentialResults, type Origins, skippedCredential } from './token-checks.ts';

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
async function checkTokenStore({ servers }: TokenStoreConfig, clock: Clock): Promise<CheckResult> {
  const host = servers.addresses.map(formatHostPort).join(', ');
  const stores = await RedisStores.open({ servers, clock, log: silentLog, random: Math.random });
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

interface RouteReport {
  readonly route: RouteConfig;
  /** In the order in which they ran. */
  readonly checks: readonly Check[];
}

export interface DoctorReport {
  readonly routes: readonly RouteReport[];
  /** Undefined if none is configured. */
  readonly tokenStore: CheckResult | undefined;
}

interface ChecksOptions {
  readonly origins: Origins;
  readonly probes: Probes;
  /** Whether one harmless API request is sent on each route (`--call`). */
  readonly sendsCall: boolean;
}

/** Checks these routes at the same time: each host once, each credential once. The result has the order of `routes`. */
export async function runChecks(
  { tokenStore, routes: allRoutes }: Pick<Config, 'tokenStore' | 'routes'>,
  routes: readonly RouteConfig[],
  { origins, probes, sendsCall }: ChecksOptions,
): Promise<DoctorReport> {
  const sources = new TokenSources({ ...probes, log: silentLog, random: Math.random });
  const pools = new UpstreamPools();
  const endpoints = new Map<string, Promise<EndpointResults>>();
  const credentials = new Map<RouteConfig, Promise<CredentialResults>>();
  const firstUsers = firstUsersOf(routes, sources);
  const checks: RouteChecks = {
    checkEndpoint: (endpoint) => cached(endpoints, endpointKey(endpoint), () => checkEndpoint(endpoint, probes)),
    checkCredential: (route) =>
      cached(credentials, route, () => checkCredential(route, sources.for(route), { origins, probes })),
    checkCall: sendsCall
      ? (route, token) =>
          checkCall(route, token, { routes: allRoutes, pools, clock: probes.clock, source: sources.for(route) })
      : undefined,
  };
  try {
    const checked = await Promise.all(
      routes.map(async (route): Promise<RouteReport> => {
        return { route, checks: await checkRoute(route, firstUsers.get(route) ?? route, checks) };
      }),
    );
    // Last, because loading the Redis client would delay the other checks and what they measure.
    return { routes: checked, tokenStore: tokenStore && (await checkTokenStore(tokenStore, probes.clock)) };
  } finally {
    sources.close();
    pools.close();
  }
}

function cached<Key, Value>(cache: Map<Key, Value>, key: Key, make: () => Value): Value {
  const known = cache.get(key);
  if (known !== undefined) return known;
  const value = make();
  cache.set(key, value);
  return value;
}

/** For each route the first one that has the same token, as the proxy shares tokens. */
function firstUsersOf(routes: readonly RouteConfig[], sources: TokenSources): ReadonlyMap<RouteConfig, RouteConfig> {
  const first = new Map<TokenSource, RouteConfig>();
  const users = new Map<RouteConfig, RouteConfig>();
  for (const route of routes) {
    const source = sources.for(route);
    users.set(route, first.get(source) ?? route);
    if (!first.has(source)) first.set(source, route);
  }
  return users;
}

interface RouteChecks {
  readonly checkEndpoint: (endpoint: Endpoint) => Promise<EndpointResults>;
  readonly checkCredential: (route: RouteConfig) => Promise<CredentialResults>;
  /** Undefined if the user did not ask for the call. */
  readonly checkCall: ((route: RouteConfig, token: Token) => Promise<CheckResult>) | undefined;
}

/** @param first the first route with the same token; it is checked once */
async function checkRoute(route: RouteConfig, first: RouteConfig, checks: RouteChecks): Promise<Check[]> {
  const environment = checkEnvironment(route);
  const { api, auth } = endpointsOf(route);
  const isSame = endpointKey(api) === endpointKey(auth);
  const [apiResults, authResults] = await Promise.all([checks.checkEndpoint(api), checks.checkEndpoint(auth)]);
  let credential: CredentialResults;
  if (environment.result === 'failed') credential = skippedCredential('the host is not that of the environment');
  else if (isReachable(authResults) || !isRequested(route.provider.token))
    credential = await checks.checkCredential(first);
  else credential = skippedCredential('the token endpoint cannot be reached');
  const keys = describeKeys(route);
  return [
    named('environment', environment),
    ...(keys === undefined ? [] : [named('keys', keys)]),
    ...checksOfEndpoint('', apiResults),
    ...(isSame ? [] : checksOfEndpoint('auth_', authResults)),
    named('token', first === route ? credential.token : sharedWith(first, credential.token)),
    named('lifetime', credential.lifetime),
    named('clock', credential.clock),
    named('call', await checkCallOf(route, { apiResults, credential, checks })),
  ];
}

function checkCallOf(
  route: RouteConfig,
  {
    apiResults,
    credential: { issued },
    checks: { checkCall: check },
  }: { readonly apiResults: EndpointResults; readonly credential: CredentialResults; readonly checks: RouteChecks },
): CheckResult | Promise<CheckResult> {
  if (check === undefined) return untriedCall(route);
  if (!isReachable(apiResults)) return skipped('the API cannot be reached');
  return issued === undefined ? skipped('there is no token') : check(route, issued);
}

/** The servers of the API and of the tokens. For a fixed key they are the same. */
function endpointsOf(route: RouteConfig): { readonly api: Endpoint; readonly auth: Endpoint } {
  const { provider, upstream, connection } = route;
  const api = { url: new URL(upstream).origin, key: 'upstream', connection } as const;
  const url = tokenUrl(route);
  if (url === undefined || !isRequested(provider.token)) return { api, auth: api };
  const { origin } = new URL(url);
  const key = origin === api.url ? api.key : tokenContext(route).key;
  return { api, auth: { url: origin, key, connection: route.tokenConnection } };
}

function endpointKey({ url, connection }: Endpoint): string {
  return `${url} ${connectionKey(connection)}`;
}

function checksOfEndpoint(prefix: '' | 'auth_', { proxy, dns, tcp, tls }: EndpointResults): Check[] {
  return [
    ...(proxy === undefined ? [] : [named(`${prefix}proxy`, proxy)]),
    named(`${prefix}dns`, dns),
    named(`${prefix}tcp`, tcp),
    named(`${prefix}tls`, tls),
  ];
}

function named(name: CheckName, result: CheckResult): Check {
  return { name, ...result };
}

function sharedWith(first: RouteConfig, result: CheckResult): CheckResult {
  if (result.result === 'skipped') return result;
  return { ...result, what: `shares the token of ${first.name}: ${result.what}` };
}
