import { isIP } from 'node:net';
import { networkCode } from '../../errors.ts';
import { isLinkLocalAddress } from '../../link-local.ts';
import { failed, type Finding, ok } from './finding.ts';
import { STEP_TIMEOUT_MS, timedOut, type Probes } from './world.ts';

type Resolving = Pick<Probes, 'lookup' | 'clock'>;

/** Says where the name of a host leads. */
export async function checkName(host: string, world: Resolving): Promise<Finding> {
  if (isLinkLocalAddress(host)) return forbidden(host);
  if (isIP(host) !== 0) return ok(`${host} is an address, not a name`);
  try {
    const [first = 'nowhere', ...others] = await addressesOf(host, world);
    return ok(`${host} is ${first}${others.length === 0 ? '' : ` and ${others.length} more`}`);
  } catch (error) {
    return unresolved(host, networkCode(error));
  }
}

function addressesOf(host: string, { lookup, clock }: Resolving): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(STEP_TIMEOUT_MS, () => reject(timedOut()));
    lookup(host, { all: true }, (error, found) => {
      cancel();
      if (error !== null) reject(error);
      else resolve(typeof found === 'string' ? [found] : found.map(({ address }) => address));
    });
  });
}

const RESOLVER =
  "check this machine's network, and the resolver in /etc/resolv.conf (of a container: its DNS settings)";

function unresolved(host: string, code: string): Finding {
  switch (code) {
    case 'ENOTFOUND':
      return failed(
        'unreachable',
        `there is no host named ${host} (ENOTFOUND)`,
        `check how it is spelt; if it is right, this machine's DNS does not know it (\`nslookup ${host}\`)`,
      );
    case 'EAI_AGAIN':
      return failed('unreachable', `no resolver could be reached to look ${host} up (EAI_AGAIN)`, RESOLVER);
    case 'ETIMEDOUT':
      return failed('unreachable', `nobody said within ${STEP_TIMEOUT_MS / 1000} s where ${host} is`, RESOLVER);
    case 'LINK_LOCAL_ADDRESS':
      return forbidden(host);
    default:
      return failed('unreachable', `looking ${host} up failed (${code})`, RESOLVER);
  }
}

function forbidden(host: string): Finding {
  return failed(
    'unreachable',
    `${host} leads to a link-local or metadata address, where Wakala never sends anything`,
    "name the payment API's own host; if that is its name, find out who changed its DNS entry",
  );
}
