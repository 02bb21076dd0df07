import type { HttpBindings } from '@hono/node-server';
import type { Context, Hono } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import type { JsonObject } from '../json.ts';
import type { Encoding, Provider } from '../providers/provider.ts';
import type { Callbacks } from './callbacks.ts';
import type { Control, Switches } from './controls.ts';
import type { Random } from './issuer.ts';

/** A version 4 UUID (RFC 9562). */
export function uuid(random: Random): string {
  const bytes = random(16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** That many decimal digits, the first of them not 0. */
export function digits(random: Random, count: number): string {
  const all = [...random(count)].map((byte) => byte % 10).join('');
  return all.replace(/^0/, '1');
}

/** `yyyyMMddHHmmss` in East Africa Time, which has no daylight saving. */
export function eastAfricaStamp(timeMs: number): string {
  const shifted = new Date(timeMs + 3 * 3_600_000).toISOString();
  return shifted.replace(/\D/g, '').slice(0, 14);
}

export function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

/** Hono's types for an app on a Node server. */
export interface EmulatorEnv {
  Bindings: HttpBindings;
}
export type EmulatorApp = Hono<EmulatorEnv>;
export type EmulatorContext = Context<EmulatorEnv>;

export interface Answer {
  readonly status: number;
  readonly body: JsonObject;
}

/** The answer as a response of this request. */
export function send(c: EmulatorContext, answer: Answer): Response {
  return c.json(answer.body, answer.status as ContentfulStatusCode);
}

/** Says in a header why an emulator refused; the body stays the provider's own. */
export function sendRefusal(c: EmulatorContext, answer: Answer, reason: string): Response {
  c.header('x-emulated-reason', reason.replace(/[^\x20-\x7e]/g, '?'));
  return send(c, answer);
}

/** The request's path and query as they were on the wire, percent escapes and all. */
export function rawTarget(c: EmulatorContext): { readonly path: string; readonly query: string } {
  const target = (c.env.incoming.url ?? '/').replace(/^https?:\/\/[^/?]*/i, '');
  const end = target.indexOf('?');
  return end === -1 ? { path: target, query: '' } : { path: target.slice(0, end), query: target.slice(end + 1) };
}

/** The body as a JSON object, whatever its content type says; undefined if it is none. */
export async function jsonBody(c: EmulatorContext): Promise<JsonObject | undefined> {
  try {
    const value: unknown = JSON.parse(await c.req.text());
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
  } catch {
    return undefined;
  }
}

/** A scalar field as text, as providers take numbers with and without quotes; empty if it is neither. */
export function textOf(body: JsonObject, name: string): string {
  const value = body[name];
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

const MAX_REPLIES = 1000;

/** Remembers what an `Idempotency-Key` was answered with. */
export class Replies<T extends JsonObject> {
  readonly #byKey = new LRUCache<string, T>({ max: MAX_REPLIES });

  /** The first answer under this key for this operation; without a key, a new one each time. */
  once(operation: string, key: string | undefined, make: () => T): T {
    if (key === undefined || key === '') return make();
    const id = `${operation} ${key}`;
    const answer = this.#byKey.get(id) ?? make();
    this.#byKey.set(id, answer);
    return answer;
  }
}

/** What an emulated API may use. */
export interface ApiContext {
  readonly provider: Provider;
  readonly clock: Clock;
  readonly random: Random;
  readonly callbacks: Callbacks;
  /** How long a transaction stays pending; its callback goes out then. */
  readonly callbackDelayMs: number;
  readonly switches: Switches;
}

/** What an emulator does that the provider's definition does not say. */
export interface ProviderEmulator {
  /** What it has, for people: the rest of a sentence that begins with "It". */
  readonly does: string;
  /** The API behind the token check, with paths below the base URL. */
  readonly api: (context: ApiContext) => EmulatorApp;
  /** A new access token kills the former one. */
  readonly singleToken?: boolean;
  /** API calls may carry the token without its scheme. */
  readonly bareToken?: boolean;
  /** Encodings the token endpoint takes beside the definition's own. */
  readonly encodings?: readonly Encoding[];
  /** Where a dead token gets something else than `samples.deadAnswer`. The path is below the base URL. */
  readonly deadAnswer?: (path: string) => Answer | undefined;
  /** What the token endpoint says to a request that is not even the right question. */
  readonly malformedAnswer?: (reason: string, random: Random) => Answer;
  /** Stands before the token endpoint and may answer in its place. */
  readonly firewall?: (headers: Headers) => Response | undefined;
  /** Further keys of `POST /_emulator`. */
  readonly controls?: Readonly<Record<string, Control>>;
}
