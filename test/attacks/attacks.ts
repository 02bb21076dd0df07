import type { Attack } from './attack.ts';
import * as inspector from './inspector.ts';
import * as memory from './memory.ts';
import * as resets from './resets.ts';
import * as routes from './routes.ts';
import * as secrets from './secrets.ts';
import * as tokens from './tokens.ts';
import * as websockets from './websockets.ts';
import { workersKilled } from './workers.ts';

/** In the order of the table in SECURITY.md. */
export const ATTACKS: readonly Attack[] = [
  resets.resetAfterConnect,
  resets.resetAfterUpgrade,
  resets.resetOfPipelined,
  resets.resetOverLimit,
  resets.resetInEveryState,
  resets.brokenHandshakes,
  resets.resetWhileOpening,
  workersKilled,
  memory.endlessPipeline,
  memory.unreadResponses,
  tokens.refusedForGood,
  tokens.tokensThatKill,
  tokens.throttledEndpoint,
  tokens.refusedHandshakes,
  inspector.longRequests,
  inspector.compressedBodies,
  websockets.unreadRefusal,
  websockets.stalledRefusal,
  websockets.idleWebSockets,
  websockets.halfClosedWebSockets,
  websockets.refusalHeaders,
  memory.tinyChunks,
  memory.tinyResponseChunks,
  memory.tinyInspectedChunks,
  inspector.refusedPaths,
  inspector.longRefusedPaths,
  routes.discoveredEndpoint,
  routes.endpointSpellings,
  routes.overrideHeaders,
  routes.manyHeaders,
  tokens.renewedPlaceholder,
  secrets.spelledSecrets,
  secrets.splitSecrets,
  secrets.secretsInInspector,
];
