import type { JsonObject } from '../json.ts';
import type { Issuer } from './issuer.ts';

/** How the token endpoint behaves. All but `ok` and `truncated` issue nothing. */
export const TOKEN_ENDPOINT_MODES = [
  'ok',
  /** Destroys the socket. */
  'down',
  '429',
  '500',
  /** A page with status 200. */
  'html',
  /** A good answer whose end never comes. */
  'truncated',
  /** Refuses any credentials. */
  'denied',
  /** Status 200 and no body. */
  'empty',
  /** The status of a refusal and no body. */
  'denied-empty',
] as const;
export type TokenEndpointMode = (typeof TOKEN_ENDPOINT_MODES)[number];

/** What can be switched while an emulator runs. */
export interface Switches {
  tokenEndpoint: TokenEndpointMode;
  /** Seconds, sent as `Retry-After` by `429` and `500`. */
  retryAfterS: number | undefined;
  tokenDelayMs: number;
  /** Calls below this path get the dead-token answer whatever their token. */
  refusePath: string | undefined;
  refuseNextCalls: number;
  /** Where providers whose webhooks are set on a dashboard send them. */
  webhookUrl: string | undefined;
}

/** Since the start or the last reset. `tokens_alive` is as of now. */
export interface Counters {
  /** Requests to the token endpoint, whatever came of them. */
  token_requests: number;
  exchanges: number;
  refreshes: number;
  denied: number;
  api_calls: number;
  /** API calls that got the dead-token answer. */
  refused: number;
}

export interface Controlled {
  readonly switches: Switches;
  readonly counters: Counters;
  readonly issuer: Issuer;
}

/** A key that `POST /_emulator` takes. */
export interface Control {
  readonly expects: string;
  readonly accepts: (value: unknown) => boolean;
  readonly apply: (target: Controlled, value: unknown) => void;
}

/** What `POST /_emulator` says to a request that changes nothing. */
export class ControlError extends Error {
  override readonly name = 'ControlError';
}

export function newSwitches(webhookUrl: string | undefined): Switches {
  return { ...noFaults(), webhookUrl };
}

export function newCounters(): Counters {
  return { token_requests: 0, exchanges: 0, refreshes: 0, denied: 0, api_calls: 0, refused: 0 };
}

function noFaults(): Omit<Switches, 'webhookUrl'> {
  return { tokenEndpoint: 'ok', retryAfterS: undefined, tokenDelayMs: 0, refusePath: undefined, refuseNextCalls: 0 };
}

function control<T>(
  expects: string,
  accepts: (value: unknown) => value is T,
  apply: (target: Controlled, value: T) => void,
): Control {
  return {
    expects,
    accepts,
    apply: (target, value) => {
      if (accepts(value)) apply(target, value);
    },
  };
}

const isTrue = (value: unknown): value is true => value === true;
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
const isLifetime = (value: unknown): value is number | null => value === null || (isCount(value) && value > 0);
const isCountOrNull = (value: unknown): value is number | null => value === null || isCount(value);
const isPath = (value: unknown): value is string | null =>
  value === null || (typeof value === 'string' && value.startsWith('/'));
const isUrl = (value: unknown): value is string | null =>
  value === null || (typeof value === 'string' && URL.canParse(value));
const isMode = (value: unknown): value is TokenEndpointMode => TOKEN_ENDPOINT_MODES.some((mode) => mode === value);

/** Applied in this order, so that `reset` comes before what is sent along with it. */
const CONTROLS: Readonly<Record<string, Control>> = {
  /** Faults and counters only: tokens and transactions stay. */
  reset: control('true', isTrue, ({ switches, counters, issuer }) => {
    Object.assign(switches, noFaults());
    Object.assign(counters, newCounters());
    issuer.restore();
  }),
  expire_tokens: control('true', isTrue, ({ issuer }) => issuer.expireAll()),
  revoke_refresh_tokens: control('true', isTrue, ({ issuer }) => issuer.revokeRefreshTokens()),
  refuse_next_tokens: control('a count', isCount, ({ issuer }, count) => (issuer.refuseNext = count)),
  refuse_next_calls: control('a count', isCount, ({ switches }, count) => (switches.refuseNextCalls = count)),
  refuse_path: control('a path that begins with /, or null', isPath, ({ switches }, path) => {
    switches.refusePath = path ?? undefined;
  }),
  token_endpoint: control(`one of ${TOKEN_ENDPOINT_MODES.join(', ')}`, isMode, ({ switches }, mode) => {
    switches.tokenEndpoint = mode;
  }),
  retry_after: control('seconds, or null', isCountOrNull, ({ switches }, seconds) => {
    switches.retryAfterS = seconds ?? undefined;
  }),
  token_delay_ms: control('milliseconds', isCount, ({ switches }, delayMs) => (switches.tokenDelayMs = delayMs)),
  lifetime: control('whole seconds above 0, or null', isLifetime, ({ issuer }, seconds) => {
    issuer.lifetimeS = seconds ?? undefined;
  }),
};

/** For emulators that send webhooks to one address. */
export const webhookUrlControl: Control = control('a URL, or null', isUrl, ({ switches }, url) => {
  switches.webhookUrl = url ?? undefined;
});

/** Switches everything that `json` says, or nothing: then throws a `ControlError` that says what may stand there. */
export function applyControls(target: Controlled, json: unknown, more: Readonly<Record<string, Control>> = {}): void {
  const controls = { ...CONTROLS, ...more };
  const allowed = `Allowed keys: ${Object.keys(controls).join(', ')}.`;
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new ControlError(`Expected a JSON object. ${allowed}`);
  }
  const wanted = new Map<string, unknown>(Object.entries(json));
  for (const [key, value] of wanted) {
    if (!Object.hasOwn(controls, key)) throw new ControlError(`Unknown key "${key}". ${allowed}`);
    if (!controls[key]?.accepts(value)) throw new ControlError(`"${key}" must be ${controls[key]?.expects ?? ''}.`);
  }
  for (const [key, each] of Object.entries(controls)) {
    if (wanted.has(key)) each.apply(target, wanted.get(key));
  }
}

/** The switches as `GET /_emulator` shows them, under the keys that set them. */
export function shownSwitches({ switches, issuer }: Controlled): JsonObject {
  return {
    token_endpoint: switches.tokenEndpoint,
    retry_after: switches.retryAfterS ?? null,
    token_delay_ms: switches.tokenDelayMs,
    refuse_path: switches.refusePath ?? null,
    refuse_next_calls: switches.refuseNextCalls,
    refuse_next_tokens: issuer.refuseNext,
    lifetime: Number.isFinite(issuer.lifetimeS) ? issuer.lifetimeS : null,
    webhook_url: switches.webhookUrl ?? null,
  };
}
