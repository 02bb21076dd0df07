import type { Clock } from '../../clock.ts';
import type { TokenStoreConfig } from '../../config/config.ts';
import { silentLog } from '../../log.ts';
import { StoreUnavailable } from '../../tokens/shared/board.ts';
import { RedisStores } from '../../tokens/shared/redis.ts';
import { type Finding, ok, warning } from './finding.ts';

/** A board that no credential has. */
const BOARD = 'doctor';

/**
 * Says whether the token store can be used, as the proxy uses it and within the same time. Never worse than a warning:
 * without it, each process asks for its own tokens.
 */
export async function checkTokenStore({ url }: TokenStoreConfig, clock: Clock): Promise<Finding> {
  const { host } = new URL(url.reveal());
  const boards = await RedisStores.open({ url, clock, log: silentLog, random: Math.random });
  try {
    const { connected, failure } = boards.status();
    if (!connected) return unusable(host, failure ?? 'no connection in time');
    await boards.board(BOARD).read();
    return ok(`${host} is connected and runs Wakala's scripts`);
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    return unusable(host, error.message);
  } finally {
    boards.close();
  }
}

function unusable(host: string, reason: string): Finding {
  const saw = `${host} cannot be used (${reason}), so each process asks for tokens of its own`;
  return warning(saw, remedyFor(reason));
}

function remedyFor(reason: string): string {
  switch (reason) {
    case 'WRONGPASS':
    case 'NOAUTH':
    case 'ERR':
      return 'check user and password in `token_store.redis`';
    case 'NOPERM':
      return 'allow its user EVAL, PUBLISH and SUBSCRIBE, on keys and channels that begin with `wakala:`';
    case 'too slow':
      return 'put Redis nearer to Wakala, or find out what keeps it busy: it must answer within 80 ms';
    default:
      return 'check host and port in `token_store.redis`, and whether Redis is up and may be reached from here';
  }
}
