import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { Hono } from 'hono';
import { control, type EmulatorState, stateOf } from './core.ts';
import { ControlError } from './faults.ts';
import { requireToken } from './gate.ts';
import { type EmulatorApp, type EmulatorContext, type EmulatorEnv, jsonBody, rawTarget } from './http.ts';
import { tokenEndpoints } from './token-endpoint.ts';

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
