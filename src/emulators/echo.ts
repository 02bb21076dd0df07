import { Hono } from 'hono';
import type { JsonValue } from '../json.ts';
import { type EmulatorContext, type EmulatorEnv, rawTarget } from './http.ts';
import type { ProviderEmulator } from './special.ts';

/**
 * The API of a provider that only its definition describes: answers every call with what arrived. `path` and `query`
 * are as they were on the wire; `body` is parsed if it is JSON, else text, and null if there is none.
 */
export const echo: ProviderEmulator = {
  does: 'has an API that answers every call with what arrived: method, path, query and body.',
  api: () => {
    const app = new Hono<EmulatorEnv>();
    app.all('*', async (c) => c.json({ method: c.req.method, ...rawTarget(c), body: await shownBody(c) }));
    return app;
  },
};

async function shownBody(c: EmulatorContext): Promise<JsonValue> {
  const text = await c.req.text();
  if (text === '') return null;
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return text;
  }
}
