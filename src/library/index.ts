import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { z } from 'zod';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import type { configSchema } from '../config/schema.ts';
import { ConfigError, ProxyError } from '../errors.ts';
import type { LogTarget } from '../logger.ts';
import { startReadingBody } from '../proxy/body.ts';
import { endSocket, ignoreError } from '../http/linger.ts';
import { asProxyError, rawProblem, sendProblem } from '../http/problem.ts';
import { requestIdOf } from '../proxy/gateway.ts';
import { RouteTable } from '../proxy/route.ts';
import { Runtime } from '../server/runtime.ts';
import { mayHaveDroppedHeaders } from '../http/node-internals.ts';
import { afterResponses, Pipelining } from '../server/pipelining.ts';
import { createLog, logTo } from '../telemetry/log.ts';

export { ConfigError } from '../errors.ts';
export type { ConfigProblem } from '../errors.ts';
export type { LogEvent, LogFields, LogTarget as Log } from '../logger.ts';

/** What stands in `proxy.config.yaml`, as an object. */
export type WakalaConfig = z.input<typeof configSchema>;

export interface WakalaOptions {
  /** Path of a configuration file, or what would stand in one. */
  readonly config: string | WakalaConfig;
  /** Where `${NAME}` comes from; `process.env` unless given. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Where log lines go; as `log` in the configuration says, to standard error, unless given. */
  readonly log?: LogTarget;
}

/** A proxy inside of an app: the same as the command, without its listeners. */
export interface Wakala {
  /**
   * Answers a request of `node:http`. It takes the request as it came: nothing may have read its body. With `next`, as
   * Express and connect have it, requests that no route takes are passed on; without, they get 404.
   */
  readonly handler: (req: IncomingMessage, res: ServerResponse, next?: (error?: unknown) => void) => void;
  /** Answers an `upgrade` event of `node:http`: WebSockets, where a route lets them through. */
  readonly upgrade: (req: IncomingMessage, socket: Duplex, head: Buffer) => void;
  /** Whether a route takes this request target (path and query, as they came). */
  readonly hasRoute: (target: string) => boolean;
  /** Ends every connection to a provider. To be called when the app's own server is closed. */
  readonly close: () => Promise<void>;
}

/** What a configuration may be called in messages where it is no file. */
const OPTIONS = 'createWakala({ config })';

/**
 * Makes a proxy to mount in an app. Who may call is decided as by the command: `listen` says where the app listens, and
 * on an address that others can reach `clients` is required. There is no admin listener, and no reload.
 * @throws ConfigError with all that is wrong with the configuration
 */
export function createWakala(options: WakalaOptions): Wakala {
  const config = configOf(options);
  const { level, format } = config.log;
  const own = () => createLog({ level, format, tty: false, colour: false }, stderrSink());
  const log = options.log === undefined ? own() : logTo(options.log);
  const hasRoute = routeFinder(config);
  const opening = Runtime.open(config, { log, keep: 0 });
  // Those who wait for it are told.
  opening.catch(() => undefined);
  const pipelining = new Pipelining();
  const handle = (req: IncomingMessage, res: ServerResponse, wasRead: boolean) => {
    opening.then(
      ({ gateway }) => {
        const refusal = missesHeaders(req) ?? (wasRead ? bodyGone() : undefined);
        if (refusal === undefined) gateway.handle(req, res);
        else gateway.refuse(req, res, refusal);
      },
      (cause: unknown) => sendProblem(res, asProxyError(cause), requestIdOf(req.rawHeaders)),
    );
  };
  const upgrade = async (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    const refusal = missesHeaders(req);
    if (refusal !== undefined) endSocket(socket, rawProblem(refusal, requestIdOf(req.rawHeaders)));
    else (await opening).upgrades.handle(req, socket, head);
  };
  return {
    handler: (req, res, next) => {
      if (next !== undefined && !hasRoute(req.url ?? '')) {
        next();
        return;
      }
      const wasRead = isRead(req);
      if (!wasRead) startReadingBody(req);
      pipelining.afterPendingResponse(req, res, () => handle(req, res, wasRead));
    },
    upgrade: (req, socket, head) => {
      socket.on('error', ignoreError);
      afterResponses(req.socket, () => {
        upgrade(req, socket, head).catch(() => socket.destroy());
      });
    },
    hasRoute,
    close: async () => {
      await (await opening).close();
    },
  };
}

/** Writes to standard error. A reader that goes away (EPIPE) does not end the app. */
function stderrSink(): (line: string) => void {
  const { stderr } = process;
  if (!stderr.listeners('error').includes(ignoreError)) stderr.on('error', ignoreError);
  return (line) => void stderr.write(line);
}

function configOf({ config, env }: WakalaOptions): Config {
  const isFile = typeof config === 'string';
  const file = isFile ? config : OPTIONS;
  const text = isFile ? {} : { text: JSON.stringify(config, null, 2) };
  const loaded = loadConfig(file, { ...text, ...(env === undefined ? {} : { env }), admin: false }).config;
  if (loaded.workers > 1 || loaded.tls !== undefined) {
    const message = '`workers` and `listen.tls` are for the command alone: here the app serves';
    throw new ConfigError([
      { file, line: 1, column: 1, key: loaded.tls === undefined ? 'workers' : 'listen', message },
    ]);
  }
  return loaded;
}

function routeFinder({ routes }: Config): Wakala['hasRoute'] {
  const table = new RouteTable(routes);
  return (target) => {
    const [path = ''] = target.replace(/^https?:\/\/[^/?#]*/i, '').split(/[?#]/, 1);
    return table.match(path) !== undefined;
  };
}

/** The refusal of a request of which the app's server may have dropped header lines. */
function missesHeaders(req: IncomingMessage): ProxyError | undefined {
  if (!mayHaveDroppedHeaders(req)) return undefined;
  return new ProxyError(
    'header_too_large',
    "The request has as many header lines as the app's server keeps, so some may be missing. Send fewer, or raise the " +
      'maxHeadersCount of the server. Nothing was sent.',
  );
}

/** Whether something before us took the body off the connection. */
function isRead(req: IncomingMessage): boolean {
  const { headers } = req;
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
  return hasBody && (req.readableDidRead || req.readableEnded);
}

function bodyGone(): ProxyError {
  return new ProxyError(
    'internal_error',
    'The body of this request was read before it came to wakala: mount wakala before body parsers. Nothing was sent.',
    { outcome: 'not_sent' },
  );
}
