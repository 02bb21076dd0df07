import { formatAddress } from '../config/address.ts';
import type { Config } from '../config/config.ts';

/** @throws Error if a running server cannot take a configuration over */
export function refuseRestart(before: Config, after: Config): void {
  if (listenersOf(after) !== listenersOf(before)) {
    throw new Error('`listen`, `admin`, and turning TLS or `client_ca` on or off take a restart');
  }
  if (after.workers !== before.workers) throw new Error('another number of `workers` takes a restart');
  if (after.tracing?.otlp !== before.tracing?.otlp) throw new Error('another `tracing` takes a restart');
  if (storeOf(after) !== storeOf(before)) throw new Error('another `token_store` takes a restart');
}

function listenersOf({ listen, admin, tls }: Config): string {
  return (
    [listen, admin].map((address) => (address === undefined ? 'off' : formatAddress(address))).join() + tlsKind(tls)
  );
}

/** Whether certificates are asked for is settled when the listener is made. */
function tlsKind(tls: Config['tls']): string {
  if (tls === undefined) return '';
  return tls.clientCa === undefined ? ' tls' : ' mutual tls';
}

function storeOf({ tokenStore }: Config): string {
  return JSON.stringify([tokenStore?.url.reveal(), tokenStore?.keys.map((key) => key.reveal())]);
}
