import type { Clock } from '../../clock.ts';
import type { Config, RouteConfig, TokenStoreConfig } from '../../config/config.ts';
import { isLoopbackName } from '../../http/ip-address.ts';
import { silentLog } from '../../logger.ts';
import type { Hosts } from '../../providers/provider.ts';
import { RedisStores } from '../../tokens/store/redis.ts';
import { StoreUnavailable } from '../../tokens/store/store.ts';
import { TokenSources } from '../../tokens/token-sources.ts';
import type { TokenSource } from '../../tokens/token.ts';
import { type Check, type CheckName, failed, type Finding, ok, warning } from './finding.ts';
import { checkEndpoint, type EndpointFindings, isReachable } from './network-checks.ts';
import type { Probes } from './probes.ts';
import { checkCredential, type CredentialFindings, notTried, type Origins, tokenUrl } from './token-checks.ts';

type Placed = Pick<RouteConfig, 'environment' | 'provider' | 'upstream' | 'authServer'>;

/** Says whether a route's hosts are those of its environment. */
export function checkEnvironment(route: Placed): Finding {
  const { environment, provider, upstream } = route;
  const spoken = environment === 'production' ? 'PRODUCTION (real money)' : 'sandbox';
  const hosts = [...new Set([upstream, tokenUrl(route) ?? upstream].map((url) => new URL(url).host))];
  const other = environment === 'production' ? 'sandbox' : 'production';
  const known = hostsOf(provider.hosts?.[environment]);
  const misplaced = hosts.find((host) => hostsOf(provider.hosts?.[other]).includes(host) && !known.includes(host));
  if (misplaced !== undefined) {
    return failed(
      'wrong',
      `${spoken}, but ${misplaced} is the ${other} host of \`${provider.name}\``,
      `set \`environment: ${other}\` on the route, or leave the URL out of it`,
    );
  }
  const own = hosts.find((host) => !known.includes(host));
  if (own === undefined) return ok(`${spoken}, at the host of \`${provider.name}\` for it`);
  return environment === 'production' ? strangeProduction(spoken, own) : ok(`${spoken}, at ${own}`);
}

function hostsOf(hosts: Hosts | undefined): string[] {
  return hosts === undefined ? [] : [hosts.api, hosts.auth ?? hosts.api].map((url) => new URL(url).host);
}

/** A production route to a host that is no built-in one. */
function strangeProduction(spoken: string, host: string): Finding {
  const saw = `${spoken}, at ${host}`;
  if (isLoopbackName(new URL(`http://${host}`).hostname)) {
    return warning(`${saw}, which is this machine`, "name the provider's own host, unless a gateway of yours is there");
  }
  if (/\b(sandbox|staging|stage|test|testing|uat|dev|demo)\b/i.test(host)) {
    return warning(
      `${saw}, whose name is that of a test system`,
      'set `environment: sandbox` on the route, or name the production host',
    );
  }
  return ok(saw);
}

/** A board that no credential has. */
const BOARD = 'doctor';

/**
 * Says whether the token store can be used, as the proxy uses it and within the same time. Never worse than a warning:
 * without it, each process asks for its own tokens.
 */
async function checkTokenStore({ url }: TokenStoreConfig, clock: Clock): Promise<Finding> {
  const { host } = new URL(url.reveal());
  const boards = await RedisStores.open({ url, clock, log: silentLog, random: Math.random });
  try {
    const { connected, failure } = boards.status();
    if (!connected) return unusable(host, failure ?? 'no connection in time', failure);
    await boards.storeOf(BOARD).read();
    return ok(`${host} is connected and runs Wakala's scripts`);
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    return unusable(host, error.message, error.code);
  } finally {
    boards.close();
  }
}

function unusable(host: string, reason: string, code: string | undefined): Finding {
  const saw = `${host} cannot be used (${reason}), so each process asks for tokens of its own`;
  return warning(saw, remedyFor(code));
}

function remedyFor(code: string | undefined): string {
  switch (code) {
    case 'WRONGPASS':
    case 'NOAUTH':
    case 'ERR':
      return 'check user and password in `token_store.redis`';
    case 'NOPERM':
      return 'allow its user EVAL, PUBLISH and SUBSCRIBE, on keys and channels that begin with `wakala:`';
    case 'timeout':
      return 'put Redis nearer to Wakala, or find out what keeps it busy: it must answer within 80 ms';
    default:
      return 'check host and port in `token_store.redis`, and whether Redis is up and may be reached from here';
  }
}

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
