import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { Hono, type MiddlewareHandler } from 'hono';
import { BEARER, type TokenHeader } from '../providers/provider.ts';
import { ControlError } from './controls.ts';
import { control, type EmulatorState, stateOf } from './emulator-state.ts';
import { hasAuthHost } from './emulator.ts';
import { type EmulatorApp, type EmulatorContext, type EmulatorEnv, jsonBody, rawTarget, sendRefusal } from './provider-emulator.ts';
import { tokenEndpoints } from './token-endpoint.ts';

/**
 * Lets an API call through only with a token that this emulator issued and that is alive, so that a 200 proves that
 * the token was put on the call. Everything else gets the provider's own answer to a dead token.
 */
function requireToken(core: EmulatorState, basePath: string): MiddlewareHandler<EmulatorEnv> {
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

/** The API host: switches, the API below `basePath` and, unless another host has it, the token endpoint. */
export function apiApp(core: EmulatorState, basePath: string, hasAuthHost: boolean): EmulatorApp {
  const app = newApp(core);
  app.use('/_emulator', refuseBrowsers);
  app.get('/_emulator', (c) => c.json(stateOf(core)));
  app.post('/_emulator', (c) => switchOver(c, core));
  if (!hasAuthHost) app.use(tokenEndpoints(core, basePath));
  app.use(async (c, next) => {
    const { path } = rawTarget(c);
    return path === basePath || path.startsWith(`${basePath}/`) ? next() : c.notFound();
  });
  app.use(requireToken(core, basePath));
  app.route(basePath === '' ? '/' : basePath, core.special.api(core));
  return app;
}

/** The host that only issues tokens. */
export function authApp(core: EmulatorState, basePath: string): EmulatorApp {
  const app = newApp(core);
  app.use(tokenEndpoints(core, basePath));
  return app;
}

function newApp(core: EmulatorState): EmulatorApp {
  const app = new Hono<EmulatorEnv>();
  app.use(async (c, next) => {
    await next();
    if (c.res === RESPONSE_ALREADY_SENT) return;
    c.header('x-emulated-by', 'wakala');
    // By the clock that tokens expire by, for clients that reckon with the server's time.
    c.header('date', new Date(core.clock.now()).toUTCString());
  });
  app.notFound((c) => c.json({ error: 'not_found', error_description: `The emulator has no ${c.req.path}` }, 404));
  app.onError((error, c) => {
    core.log.error({ emulator: core.provider.name, error: error.message }, 'the emulator failed');
    return c.json({ error: 'emulator_failed' }, 500);
  });
  return app;
}

/** A page in a browser on this machine must not be able to switch or read anything here. */
async function refuseBrowsers(c: EmulatorContext, next: () => Promise<void>): Promise<Response | undefined> {
  const site = c.req.header('sec-fetch-site') ?? 'none';
  if (c.req.header('origin') === undefined && site === 'none') {
    await next();
    return undefined;
  }
  return c.json({ error: 'Not for browsers: send the request without an Origin, with curl for example.' }, 403);
}

async function switchOver(c: EmulatorContext, core: EmulatorState): Promise<Response> {
  try {
    return c.json(control(core, await jsonBody(c)));
  } catch (error) {
    if (error instanceof ControlError) return c.json({ error: error.message }, 400);
    throw error;
  }
}
