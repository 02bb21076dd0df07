import type { HttpBindings } from '@hono/node-server';
import type { Context, Hono } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { JsonObject } from '../json.ts';

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
