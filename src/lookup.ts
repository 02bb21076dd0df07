import { lookup, type LookupAddress, type LookupAllOptions, type LookupOneOptions } from 'node:dns';
import { isLinkLocalAddress } from './link-local.ts';

type Options = LookupOneOptions | LookupAllOptions;
type Callback = (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void;

/**
 * `dns.lookup` for outgoing connections, which fails with `LINK_LOCAL_ADDRESS` for a name that leads to a link-local
 * address or a cloud's metadata service: DNS does not decide who gets a token.
 */
export function guardedLookup(hostname: string, options: Options, callback: Callback): void {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) {
      callback(error, []);
    } else if (addresses.some(({ address }) => isLinkLocalAddress(address))) {
      const refused = new Error('the name leads to a link-local or metadata address');
      callback(Object.assign(refused, { code: 'LINK_LOCAL_ADDRESS' }), []);
    } else if (options.all === true) {
      callback(null, addresses);
    } else {
      callback(null, addresses[0]?.address ?? '', addresses[0]?.family);
    }
  });
}
