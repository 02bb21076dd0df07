import type { MiddlewareHandler } from 'hono';
import { BEARER, type TokenHeader } from '../providers/provider.ts';
import type { EmulatorState } from './core.ts';
import { type EmulatorContext, type EmulatorEnv, rawTarget, sendRefusal } from './http.ts';

/**
 * Lets an API call through only with a token that this emulator issued and that is alive, so that a 200 proves that
 * the token was put on the call. Everything else gets the provider's own answer to a dead token.
 */
export function requireToken(core: EmulatorState, basePath: string): MiddlewareHandler<EmulatorEnv> {
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
function refusal(
  c: EmulatorContext,
  { switches, issuer, provider, special }: EmulatorState,
  path: string,
): string | undefined {
  if (switches.refuseNextCalls > 0) {
    switches.refuseNextCalls -= 1;
    return 'refuse_next_calls is set';
  }
  if (switches.refusePath !== undefined && path.startsWith(switches.refusePath)) return 'refuse_path is set';
  const header = provider.tokenHeader ?? BEARER;
  const name = header.name === BEARER.name ? 'Authorization' : header.name;
  const values = valuesOf(c, header.name);
  if (values.length === 0) return `no ${name} header`;
  if (values.length > 1) return `more than one ${name} header`;
  const bare = special.bareToken === true ? tokenIn(values[0] ?? '', { ...header, scheme: '' }) : undefined;
  const token = tokenIn(values[0] ?? '', header) ?? bare;
  if (token === undefined) return `${name} is not ${header.scheme === '' ? '' : `"${header.scheme}" and `}one token`;
  return issuer.accepts(token) ? undefined : 'not a token of this emulator, or a dead one';
}

/** The token behind its scheme, which may be in any case. */
function tokenIn(value: string, { scheme }: TokenHeader): string | undefined {
  const start = scheme === '' ? '' : `${scheme} `;
  if (!value.toLowerCase().startsWith(start.toLowerCase())) return undefined;
  return /^[^ ]+$/.exec(value.slice(start.length))?.[0];
}

/** Node drops all but the first `Authorization`; a second one is a leak worth seeing. */
function valuesOf(c: EmulatorContext, name: string): string[] {
  const raw = c.env.incoming.rawHeaders;
  return raw.filter((_, index) => index % 2 === 1 && raw[index - 1]?.toLowerCase() === name.toLowerCase());
}
