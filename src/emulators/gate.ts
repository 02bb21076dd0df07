import type { MiddlewareHandler } from 'hono';
import type { EmulatorCore } from './core.ts';
import { type EmulatorContext, type EmulatorEnv, rawTarget, sendRefusal } from './http.ts';

/**
 * Lets an API call through only with a token that this emulator issued and that is alive, so that a 200 proves that
 * the token was put on the call. Everything else gets the provider's own answer to a dead token.
 */
export function gate(core: EmulatorCore, basePath: string): MiddlewareHandler<EmulatorEnv> {
  return async (c, next) => {
    core.counters.api_calls += 1;
    await c.req.arrayBuffer();
    const path = rawTarget(c).path.slice(basePath.length);
    const reason = refusal(c, core, path);
    if (reason === undefined) return next();
    core.counters.refused += 1;
    core.log.debug({ emulator: core.provider.name, method: c.req.method, path, reason }, 'API call refused');
    return sendRefusal(c, core.special.deadAnswer?.(path) ?? core.provider.samples.deadAnswer, reason);
  };
}

/** Why the call is refused, or undefined. */
function refusal(c: EmulatorContext, { switches, issuer }: EmulatorCore, path: string): string | undefined {
  if (switches.refuseNextCalls > 0) {
    switches.refuseNextCalls -= 1;
    return 'refuse_next_calls is set';
  }
  if (switches.refusePath !== undefined && path.startsWith(switches.refusePath)) return 'refuse_path is set';
  const values = authorizations(c);
  if (values.length === 0) return 'no Authorization header';
  if (values.length > 1) return 'more than one Authorization header';
  const token = /^bearer ([^ ]+)$/i.exec(values[0] ?? '')?.[1];
  if (token === undefined) return 'Authorization is not "Bearer" and one token';
  return issuer.accepts(token) ? undefined : 'not a token of this emulator, or a dead one';
}

/** Node drops all but the first; a second one is a leak worth seeing. */
function authorizations(c: EmulatorContext): string[] {
  const raw = c.env.incoming.rawHeaders;
  return raw.filter((_, index) => index % 2 === 1 && raw[index - 1]?.toLowerCase() === 'authorization');
}
