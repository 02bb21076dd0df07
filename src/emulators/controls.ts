import type { JsonObject } from '../json.ts';
import type { Issuer } from './issuer.ts';

/** How the token endpoint behaves. Only `ok` and `truncated` issue tokens. */
export const TOKEN_ENDPOINT_MODES = [
  'ok',
  /** Closes the connection without a response. */
  'down',
  '429',
  '500',
  /** An HTML page with status 200. */
  'html',
  /** The first half of a token response, then a closed connection. */
  'truncated',
  /** Refuses all credentials. */
  'denied',
  /** Status 200 and no body. */
  'empty',
  /** The status of refused credentials and no body. */
  'denied-empty',
] as const;
export type TokenEndpointMode = (typeof TOKEN_ENDPOINT_MODES)[number];

/** Faults and settings that can change while an emulator runs. */
export interface Switches {
  tokenEndpoint: TokenEndpointMode;
  /** `Retry-After` of the modes `429` and `500`, in seconds. */
  retryAfterS: number | undefined;
  tokenDelayMs: number;
  /** Calls below this path get the response to a dead token, whatever their token. */
  refusePath: string | undefined;
  refuseNextCalls: number;
  /** Receives the webhooks of providers that have no callback URL in their calls. */
  webhookUrl: string | undefined;
}

/** Counted since the start or the last reset. */
export interface Counters {
  /** All requests to the token endpoint, refused ones included. */
  token_requests: number;
  exchanges: number;
  refreshes: number;
  denied: number;
  api_calls: number;
  /** API calls that got the response to a dead token. */
  refused: number;
}

export interface ControlTarget {
  readonly switches: Switches;
  readonly counters: Counters;
  readonly issuer: Issuer;
}

/** A key of `POST /_emulator`. */
export interface Control {
  /** For the error message: "`key` must be ...". */
  readonly expects: string;
  readonly accepts: (value: unknown) => boolean;
  readonly apply: (target: ControlTarget, value: unknown) => void;
}

/** A body of `POST /_emulator` that was refused. The message is for the user. */
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

function defineControl<T>(
  expects: string,
  accepts: (value: unknown) => value is T,
  apply: (target: ControlTarget, value: T) => void,
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

/** In the order in which they are applied: `reset` comes before the other keys of the same request. */
const CONTROLS: Readonly<Record<string, Control>> = {
  // Tokens and transactions stay.
  reset: defineControl('true', isTrue, ({ switches, counters, issuer }) => {
    Object.assign(switches, noFaults());
    Object.assign(counters, newCounters());
    issuer.reset();
  }),
  expire_tokens: defineControl('true', isTrue, ({ issuer }) => issuer.expireAll()),
  revoke_refresh_tokens: defineControl('true', isTrue, ({ issuer }) => issuer.revokeRefreshTokens()),
  refuse_next_tokens: defineControl('a count', isCount, ({ issuer }, count) => (issuer.refuseNext = count)),
  refuse_next_calls: defineControl('a count', isCount, ({ switches }, count) => (switches.refuseNextCalls = count)),
  refuse_path: defineControl('a path that begins with /, or null', isPath, ({ switches }, path) => {
    switches.refusePath = path ?? undefined;
  }),
  token_endpoint: defineControl(`one of ${TOKEN_ENDPOINT_MODES.join(', ')}`, isMode, ({ switches }, mode) => {
    switches.tokenEndpoint = mode;
  }),
  retry_after: defineControl('seconds, or null', isCountOrNull, ({ switches }, seconds) => {
    switches.retryAfterS = seconds ?? undefined;
  }),
  token_delay_ms: defineControl('milliseconds', isCount, ({ switches }, delayMs) => (switches.tokenDelayMs = delayMs)),
  lifetime: defineControl('whole seconds above 0, or null', isLifetime, ({ issuer }, seconds) => {
    issuer.lifetimeS = seconds ?? undefined;
  }),
};

/** For emulators of providers that send all webhooks to one address. */
export const webhookUrlControl: Control = defineControl('a URL, or null', isUrl, ({ switches }, url) => {
  switches.webhookUrl = url ?? undefined;
});

/** Applies all keys of `json`, or none: then it throws a `ControlError` that names the wrong key and what it accepts. */
export function applyControls(
  target: ControlTarget,
  json: unknown,
  additional: Readonly<Record<string, Control>> = {},
): void {
  const controls = { ...CONTROLS, ...additional };
  const allowed = `Allowed keys: ${Object.keys(controls).join(', ')}.`;
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new ControlError(`The body is not a JSON object. ${allowed}`);
  }
  const values = new Map<string, unknown>(Object.entries(json));
  for (const [key, value] of values) {
    if (!Object.hasOwn(controls, key)) throw new ControlError(`Unknown key "${key}". ${allowed}`);
    if (!controls[key]?.accepts(value)) throw new ControlError(`"${key}" must be ${controls[key]?.expects ?? ''}.`);
  }
  for (const [key, each] of Object.entries(controls)) {
    if (values.has(key)) each.apply(target, values.get(key));
  }
}

/** The switches as `GET /_emulator` shows them, under the keys that set them. */
export function switchesAsJson({ switches, issuer }: ControlTarget): JsonObject {
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
