import { connect } from 'node:net';
import { networkCode } from '../../errors.ts';
import { failed, type Finding, ok } from './finding.ts';
import { opened, type Place, formatPlace, STEP_TIMEOUT_MS, type Probes } from './world.ts';

/** Says whether somebody takes connections there. */
export async function checkConnection(place: Place, { lookup, clock }: Pick<Probes, 'lookup' | 'clock'>) {
  const startMs = clock.now();
  const socket = connect({ ...place, lookup });
  try {
    await opened(socket, 'connect', clock);
    return ok(`connected to ${formatPlace(place)} in ${Math.round(clock.now() - startMs)} ms`);
  } catch (error) {
    return unconnected(formatPlace(place), networkCode(error));
  } finally {
    socket.destroy();
  }
}

function unconnected(place: string, code: string): Finding {
  switch (code) {
    case 'ECONNREFUSED':
      return failed(
        'unreachable',
        `${place} refused the connection`,
        'check host and port; if they are right, the service is down or a firewall turns you away',
      );
    case 'ETIMEDOUT':
      return failed(
        'unreachable',
        `${place} did not answer within ${STEP_TIMEOUT_MS / 1000} s`,
        'a firewall most likely drops the packets: allow outgoing connections to it, or ask the provider to allow yours',
      );
    case 'ENETUNREACH':
    case 'EHOSTUNREACH':
      return failed(
        'unreachable',
        `there is no way from this machine to ${place} (${code})`,
        "check this machine's network and its routes",
      );
    default:
      return failed('unreachable', `connecting to ${place} failed (${code})`, 'check host, port and network');
  }
}
