import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { Hono, type MiddlewareHandler } from 'hono';
import { ByteBuffer } from '../http/byte-buffer.ts';
import type { JsonObject } from '../json.ts';
import { BEARER, type Provider, type TokenHeader } from '../providers/provider.ts';
import type { Secret } from '../secret.ts';
import { ControlError } from './controls.ts';
import {
  control,
  type EmulatorState,
  type EmulatorStateOptions,
  type EmulatorStats,
  newEmulatorState,
  stateOf,
  statsOf,
} from './emulator-state.ts';
import {
  type EmulatorApp,
  type EmulatorContext,
  type EmulatorEnv,
  jsonBody,
  rawTarget,
  sendRefusal,
} from './provider-emulator.ts';
import { tokenEndpoints } from './token-endpoint.ts';

interface Listening {
  /** With the port it really has: `http://127.0.0.1:9912`. */
  readonly origin: string;
  /** Cuts idle and busy connections too. */
  close(): Promise<void>;
}

/** Longer than a client keeps an idle connection, so that the client is the one to close it. */
const KEEP_ALIVE_MS = 65_000;

/** Requests of one connection that have no response yet. */
const MAX_PIPELINED = 17;
/** Longer request bodies get 413. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;

/** Rejects with the socket's own error, `EADDRINUSE` for one. */
export async function listen(app: EmulatorApp, host: string, port: number): Promise<Listening> {
  const respond = getRequestListener(app.fetch, { hostname: host, overrideGlobalObjects: false });
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (req, res) => {
    readBody(req, res, () => void respond(req, res));
  });
  server.maxHeadersCount = 0;
  boundPipelining(server);
  server.listen(port, host);
  await once(server, 'listening');
  // For what fails later, such as `accept` when there are no file descriptors left.
  server.on('error', () => undefined);
  return {
    origin: originOf(server.address() as AddressInfo),
    close: async () => {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Closes the connection of a client that sends requests without end and waits for no response. */
function boundPipelining(server: Server): void {
  const open = new WeakMap<Socket, number>();
  server.prependListener('request', ({ socket }, res) => {
    const count = (open.get(socket) ?? 0) + 1;
    open.set(socket, count);
    if (count > MAX_PIPELINED) socket.destroy();
    res.on('error', () => undefined);
    res.once('close', () => open.set(socket, (open.get(socket) ?? 0) - 1));
  });
}

/**
 * Reads the body before the app is called. The adapter takes it from `rawBody`; by itself it would keep each chunk as an
 * object, some 400 bytes for a chunk of one byte.
 */
function readBody(req: IncomingMessage & { rawBody?: Buffer }, res: ServerResponse, read: () => void): void {
  if (req.headers['transfer-encoding'] === undefined && Number(req.headers['content-length'] ?? 0) === 0) {
    read();
    return;
  }
  const body = new ByteBuffer();
  req.on('data', (chunk: Buffer) => {
    if (res.headersSent) return;
    body.append(chunk);
    if (body.length > MAX_BODY_BYTES) {
      body.take();
      res.writeHead(413, { 'content-type': 'application/json' }).end('{"error":"body_too_large"}');
    }
  });
  req.on('end', () => {
    if (res.headersSent) return;
    req.rawBody = body.bytes;
    read();
  });
}

/** An address one can connect to, where the server listens on every one. */
function originOf({ address, port, family }: AddressInfo): string {
  if (family !== 'IPv6') return `http://${address === '0.0.0.0' ? '127.0.0.1' : address}:${port}`;
  return `http://[${address === '::' ? '::1' : address}]:${port}`;
}

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
function apiApp(core: EmulatorState, basePath: string, hasAuthHost: boolean): EmulatorApp {
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
function authApp(core: EmulatorState, basePath: string): EmulatorApp {
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

/** Where an emulator listens unless told otherwise. `auth` only where tokens come from another host than the API. */
interface EmulatorPorts {
  readonly api: number;
  readonly auth: number | undefined;
}

/** Known ones keep their port whatever else is emulated, so that people can paste it into their app. */
const FIXED: ReadonlyMap<string, { readonly api: number; readonly auth?: number }> = new Map([
  ['oauth2', { api: 9910 }],
  ['jpay', { api: 9911 }],
  ['mpesa', { api: 9912 }],
  ['jeel', { api: 9913, auth: 9923 }],
  ['paypack', { api: 9914 }],
  ['static', { api: 9915 }],
  ['mtn-momo', { api: 9916 }],
  ['airtel', { api: 9917 }],
  ['pesapal', { api: 9918 }],
  ['flutterwave', { api: 9919, auth: 9908 }],
  ['paypal', { api: 9920 }],
  ['jenga', { api: 9921 }],
  ['kcb-buni', { api: 9922 }],
  ['coop-bank', { api: 9924 }],
  ['kopokopo', { api: 9925 }],
  ['tingg', { api: 9926 }],
  ['orange-money', { api: 9927 }],
  ['azampay', { api: 9928, auth: 9909 }],
  ['clickpesa', { api: 9929 }],
]);
const FIRST_OTHER_PORT = 9930;

/** The ports of each, in the same order. Others than the built-in ones count up from 9930. */
export function emulatorPorts(providers: readonly Provider[]): readonly EmulatorPorts[] {
  const taken = new Set<string>();
  let next = FIRST_OTHER_PORT;
  return providers.map((provider) => {
    const fixed = taken.has(provider.name) ? undefined : FIXED.get(provider.name);
    taken.add(provider.name);
    const api = fixed?.api ?? next++;
    return { api, auth: hasAuthHost(provider) ? (fixed?.auth ?? next++) : undefined };
  });
}

function hasAuthHost(provider: Provider): boolean {
  return provider.hosts?.sandbox.auth !== undefined;
}

export interface EmulatorOptions extends EmulatorStateOptions {
  /** 0 picks a free one; the default is the provider's own from `emulatorPorts`. */
  readonly port?: number;
  /** The same for a provider whose tokens come from another host than the API. */
  readonly authPort?: number;
  readonly host?: string;
}

export interface Emulator {
  readonly provider: Provider;
  /** With the base path of the provider's API and no trailing slash. */
  readonly apiUrl: string;
  /** Base of the token exchange; the same as `apiUrl` where the provider has one host. */
  readonly authUrl: string;
  readonly credentials: ReadonlyMap<string, Secret>;
  /** Does what `POST /_emulator` does: gives the new state, or throws a `ControlError`. */
  control(json: JsonObject): JsonObject;
  stats(): EmulatorStats;
  /** Cuts every connection and drops callbacks not yet sent; resolves when the ports are free. */
  close(): Promise<void>;
}

/** A provider on this machine. Rejects with the socket's own error (`EADDRINUSE`) if it cannot listen. */
export async function startEmulator(provider: Provider, options: EmulatorOptions = {}): Promise<Emulator> {
  const core = newEmulatorState(provider, options);
  const { api, auth, close } = await listenAll(provider, options, (basePath, isAuth) =>
    isAuth ? authApp(core, basePath) : apiApp(core, basePath, hasAuthHost(provider)),
  );
  return {
    provider,
    apiUrl: api,
    authUrl: auth,
    credentials: core.credentials,
    control: (json) => control(core, json),
    stats: () => statsOf(core),
    close: async () => {
      core.callbacks.close();
      await close();
    },
  };
}

/** Both listeners or none. */
async function listenAll(
  provider: Provider,
  { host = '127.0.0.1', port, authPort }: EmulatorOptions,
  appFor: (basePath: string, isAuth: boolean) => Parameters<typeof listen>[0],
): Promise<{ api: string; auth: string; close: () => Promise<void> }> {
  const [ports] = emulatorPorts([provider]);
  const { api: apiHost, auth: authHost } = provider.hosts?.sandbox ?? {};
  const apiPath = pathOf(apiHost);
  const api = await listen(appFor(apiPath, false), host, port ?? ports?.api ?? 0);
  const apiUrl = api.origin + apiPath;
  if (authHost === undefined) return { api: apiUrl, auth: apiUrl, close: () => api.close() };
  const authPath = pathOf(authHost);
  const auth = await listen(appFor(authPath, true), host, authPort ?? ports?.auth ?? 0).catch(
    async (error: unknown): Promise<Listening> => {
      await api.close();
      throw error;
    },
  );
  return {
    api: apiUrl,
    auth: auth.origin + authPath,
    close: async () => {
      await Promise.all([api.close(), auth.close()]);
    },
  };
}

/** `/api/v1` of `https://sandbox.api.jpay.africa/api/v1`; empty where there is none. */
function pathOf(baseUrl: string | undefined): string {
  return baseUrl === undefined ? '' : new URL(baseUrl).pathname.replace(/(?<!\/)\/+$/, '');
}
