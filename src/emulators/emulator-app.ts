import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { Hono, type MiddlewareHandler } from 'hono';
import { DEFAULT_TOKEN_HEADER, type TokenHeader } from '../providers/provider.ts';
import { ControlError } from './controls.ts';
import { control, type EmulatorState, stateAsJson } from './emulator-state.ts';
import {
  type EmulatorApp,
  type EmulatorContext,
  type EmulatorEnv,
  jsonBody,
  rawTarget,
  sendRefusal,
} from './provider-emulator.ts';
import { tokenEndpoints } from './token-endpoint.ts';

/**
 * The app of the API host: `/_emulator`, the provider's API below `basePath`, and the token endpoints if no other host
 * issues tokens.
 */
export function apiApp(
  state: EmulatorState,
  { basePath, issuesTokens }: { readonly basePath: string; readonly issuesTokens: boolean },
): EmulatorApp {
  const app = newApp(state);
  app.use('/_emulator', rejectBrowsers);
  app.get('/_emulator', (c) => c.json(stateAsJson(state)));
  app.post('/_emulator', (c) => updateControls(c, state));
  if (issuesTokens) app.use(tokenEndpoints(state, basePath));
  app.use(async (c, next) => {
    const { path } = rawTarget(c);
    return path === basePath || path.startsWith(`${basePath}/`) ? next() : c.notFound();
  });
  app.use(requireToken(state, basePath));
  app.route(basePath === '' ? '/' : basePath, state.providerEmulator.api(state));
  return app;
}

/** The app of a host that only issues tokens. */
export function authApp(state: EmulatorState, basePath: string): EmulatorApp {
  const app = newApp(state);
  app.use(tokenEndpoints(state, basePath));
  return app;
}

function newApp(state: EmulatorState): EmulatorApp {
  const app = new Hono<EmulatorEnv>();
  app.use(async (c, next) => {
    await next();
    if (c.res === RESPONSE_ALREADY_SENT) return;
    c.header('x-emulated-by', 'wakala');
    // Clients that calculate with the server's time need the clock by which tokens expire.
    c.header('date', new Date(state.clock.now()).toUTCString());
  });
  app.notFound((c) => c.json({ error: 'not_found', error_description: `The emulator has no ${c.req.path}` }, 404));
  app.onError((error, c) => {
    state.log.error('emulator_failed', { emulator: state.provider.name, error: error.message });
    return c.json({ error: 'emulator_failed' }, 500);
  });
  return app;
}

/** A web page in a browser on this machine must not read or change the emulator's state. */
async function rejectBrowsers(c: EmulatorContext, next: () => Promise<void>): Promise<Response | undefined> {
  const site = c.req.header('sec-fetch-site') ?? 'none';
  if (c.req.header('origin') === undefined && site === 'none') {
    await next();
    return undefined;
  }
  return c.json(
    { error: 'Browsers are refused. Send the request without an Origin header, for example with curl.' },
    403,
  );
}

async function updateControls(c: EmulatorContext, state: EmulatorState): Promise<Response> {
  try {
    return c.json(control(state, await jsonBody(c)));
  } catch (error) {
    if (error instanceof ControlError) return c.json({ error: error.message }, 400);
    throw error;
  }
}

/**
 * Accepts an API call only with a live token of this emulator, so a 200 proves that the call carried the token. Any
 * other call gets the provider's response to a dead token.
 */
function requireToken(state: EmulatorState, basePath: string): MiddlewareHandler<EmulatorEnv> {
  return async (c, next) => {
    state.counters.api_calls += 1;
    await c.req.arrayBuffer();
    const path = rawTarget(c).path.slice(basePath.length);
    const reason = refusalReason(c, state, path);
    if (reason === undefined) return next();
    state.counters.refused += 1;
    state.log.debug('emulator_call_refused', { emulator: state.provider.name, method: c.req.method, path, reason });
    return sendRefusal(
      c,
      state.providerEmulator.deadTokenResponse?.(path) ?? state.provider.samples.deadTokenResponse,
      reason,
    );
  };
}

/** Why the call is refused; undefined if it is accepted. */
function refusalReason(
  c: EmulatorContext,
  { switches, issuer, provider, providerEmulator, credentials }: EmulatorState,
  path: string,
): string | undefined {
  if (switches.refuseNextCalls > 0) {
    switches.refuseNextCalls -= 1;
    return 'refuse_next_calls is set';
  }
  if (switches.refusePath !== undefined && path.startsWith(switches.refusePath)) return 'refuse_path is set';
  const accessTokenIn = (value: string) =>
    providerEmulator.accessTokenIn === undefined ? value : providerEmulator.accessTokenIn(value, credentials);
  const isKnown = (value: string) =>
    issuer.accepts(accessTokenIn(value) ?? '') ? undefined : 'the token is expired, revoked or not from this emulator';
  if (provider.tokenQuery !== undefined) {
    const [value, ...more] = c.req.queries(provider.tokenQuery.name) ?? [];
    if (value === undefined || more.length > 0) return `expected one query parameter ${provider.tokenQuery.name}`;
    if (!provider.tokenQuery.withHeader) return isKnown(value);
  }
  const header = provider.tokenHeader ?? DEFAULT_TOKEN_HEADER;
  const name = header.name === DEFAULT_TOKEN_HEADER.name ? 'Authorization' : header.name;
  const [value, ...more] = headerValues(c, header.name);
  if (value === undefined) return `no ${name} header`;
  if (more.length > 0) return `more than one ${name} header`;
  const bareToken = providerEmulator.acceptsBareToken === true ? tokenIn(value, { ...header, scheme: '' }) : undefined;
  const token = tokenIn(value, header) ?? bareToken;
  if (token === undefined) return `${name} is not ${header.scheme === '' ? '' : `"${header.scheme}" and `}one token`;
  return isKnown(token);
}

/** The token after its scheme. Schemes are case-insensitive (RFC 9110 11.1). */
function tokenIn(value: string, { scheme }: TokenHeader): string | undefined {
  const start = scheme === '' ? '' : `${scheme} `;
  if (!value.toLowerCase().startsWith(start.toLowerCase())) return undefined;
  return /^[^ ]+$/.exec(value.slice(start.length))?.[0];
}

/** All values of a header. `req.headers` keeps only the first `Authorization`; a second one is a leak to report. */
function headerValues(c: EmulatorContext, name: string): string[] {
  const raw = c.env.incoming.rawHeaders;
  return raw.filter((_, index) => index % 2 === 1 && raw[index - 1]?.toLowerCase() === name.toLowerCase());
}
