import type { HttpBindings } from '@hono/node-server';
import type { Context, Hono } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { Clock } from '../clock.ts';
import type { JsonObject } from '../json.ts';
import type { Encoding, Provider } from '../providers/provider.ts';
import type { Callbacks } from './callbacks.ts';
import type { Control, Switches } from './faults.ts';
import type { Random } from './issuer.ts';

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
export interface Special {
  /** The API behind the token check, with paths below the base URL. */
  readonly api: (context: ApiContext) => EmulatorApp;
  /** A new access token kills the former one. */
  readonly singleToken?: boolean;
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
