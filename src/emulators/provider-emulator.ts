import type { HttpBindings } from '@hono/node-server';
import type { Context, Hono } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import type { JsonObject, JsonValue } from '../json.ts';
import type { Encoding, Provider } from '../providers/provider.ts';
import type { Secret } from '../secret.ts';
import type { Callbacks } from './callbacks.ts';
import type { Control, Switches } from './controls.ts';
import type { Random } from './issuer.ts';

/** Types of a Hono app on a Node server. */
export interface EmulatorEnv {
  Bindings: HttpBindings;
}
export type EmulatorApp = Hono<EmulatorEnv>;
export type EmulatorContext = Context<EmulatorEnv>;

export interface EmulatedResponse {
  readonly status: number;
  readonly body: JsonObject;
}

/** What an emulated API may use. */
export interface ApiContext {
  readonly provider: Provider;
  /** The credentials that the emulator accepts, by field name. */
  readonly credentials: ReadonlyMap<string, Secret>;
  readonly clock: Clock;
  readonly random: Random;
  readonly callbacks: Callbacks;
  /** How long a transaction stays pending. Its callback is sent afterwards. */
  readonly callbackDelayMs: number;
  readonly switches: Switches;
}

/** What the emulator of one provider does beyond the provider's definition. */
export interface ProviderEmulator {
  /** For the documentation: the end of a sentence that begins with "It". */
  readonly summary: string;
  /** The API, with paths below the base URL. It is called only after the token was checked. */
  readonly api: (context: ApiContext) => EmulatorApp;
  /** A new access token invalidates the previous one. */
  readonly singleToken?: boolean;
  /** API calls may send the token without its scheme. */
  readonly acceptsBareToken?: boolean;
  /** Encodings that the token endpoint accepts besides the definition's. */
  readonly encodings?: readonly Encoding[];
  /** The response to a dead token on paths that do not use `samples.deadTokenResponse`. The path is below the base URL. */
  readonly deadTokenResponse?: (path: string) => EmulatedResponse | undefined;
  /** The response to a token request with a wrong method, body or field name. Default: RFC 6749. */
  readonly malformedRequestResponse?: (reason: string, random: Random) => EmulatedResponse;
  /** Runs before the token endpoint. A returned response replaces that of the token endpoint. */
  readonly firewall?: (headers: Headers) => Response | undefined;
  /**
   * Checks what the provider wants on a token request besides the fields of its definition, such as a signature. Returns
   * the refusal with the reason, or undefined.
   */
  readonly checkTokenRequest?: (
    request: { readonly headers: Headers; readonly body: Uint8Array },
    context: Pick<ApiContext, 'credentials' | 'clock'>,
  ) => (EmulatedResponse & { readonly reason: string }) | undefined;
  /** The access token in the value of the token header, without its scheme. Default: the value. */
  readonly accessTokenIn?: (value: string, credentials: ReadonlyMap<string, Secret>) => string | undefined;
  /** Additional keys of `POST /_emulator`. */
  readonly controls?: Readonly<Record<string, Control>>;
}

export function sendJson(c: EmulatorContext, { status, body }: EmulatedResponse): Response {
  return c.json(body, status as ContentfulStatusCode);
}

/** Sends the provider's own error body. The header `x-emulated-reason` says why the emulator refused. */
export function sendRefusal(c: EmulatorContext, response: EmulatedResponse, reason: string): Response {
  c.header('x-emulated-reason', reason.replace(/[^\x20-\x7e]/g, '?'));
  return sendJson(c, response);
}

/** Path and query as the client sent them, without decoding. */
export function rawTarget(c: EmulatorContext): { readonly path: string; readonly query: string } {
  const target = (c.env.incoming.url ?? '/').replace(/^https?:\/\/[^/?]*/i, '');
  const end = target.indexOf('?');
  return end === -1 ? { path: target, query: '' } : { path: target.slice(0, end), query: target.slice(end + 1) };
}

/**
 * Returns each request that no earlier handler responds to. `path` and `query` are not decoded. `body` is the parsed JSON,
 * the text if it is not JSON, or null if it is empty.
 */
export async function echo(c: EmulatorContext): Promise<Response> {
  return c.json({ method: c.req.method, ...rawTarget(c), body: await parsedBody(c) });
}

async function parsedBody(c: EmulatorContext): Promise<JsonValue> {
  const text = await c.req.text();
  if (text === '') return null;
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return text;
  }
}

/** The body as a JSON object, whatever its content type; undefined if it is not one. */
export async function jsonBody(c: EmulatorContext): Promise<JsonObject | undefined> {
  try {
    const value: unknown = JSON.parse(await c.req.text());
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
  } catch {
    return undefined;
  }
}

/** A string or number field as text, because providers accept numbers with and without quotes. Else empty. */
export function fieldText(body: JsonObject, name: string): string {
  const value = body[name];
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

/** A version 4 UUID (RFC 9562). */
export function randomUuid(random: Random): string {
  const bytes = random(16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** `count` decimal digits. The first is not 0. */
export function randomDigits(random: Random, count: number): string {
  const all = [...random(count)].map((byte) => byte % 10).join('');
  return all.replace(/^0/, '1');
}

/** `yyyyMMddHHmmss` in East Africa Time (UTC+3 all year). */
export function eastAfricaTimestamp(timeMs: number): string {
  const shifted = new Date(timeMs + 3 * 3_600_000).toISOString();
  return shifted.replace(/\D/g, '').slice(0, 14);
}

export function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

const MAX_IDEMPOTENCY_KEYS = 1000;

/** Remembers the response to each idempotency key. */
export class IdempotentResponses<T extends JsonObject> {
  readonly #byKey = new LRUCache<string, T>({ max: MAX_IDEMPOTENCY_KEYS });

  /** The first response for this operation and key. Without a key, every call creates a response. */
  once(operation: string, key: string | undefined, create: () => T): T {
    if (key === undefined || key === '') return create();
    const id = `${operation} ${key}`;
    const response = this.#byKey.get(id) ?? create();
    this.#byKey.set(id, response);
    return response;
  }
}
