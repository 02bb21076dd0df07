import type { RouteConfig } from '../../config/config.ts';
import { isLoopbackName } from '../../loopback.ts';
import type { Hosts } from '../../providers/provider.ts';
import { failed, type Finding, ok, warning } from './finding.ts';
import { tokenUrl } from './token-url.ts';

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
