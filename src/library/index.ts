import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { z } from 'zod';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import type { configSchema } from '../config/schema.ts';
import { ConfigError, ProxyError } from '../errors.ts';
import { endSocket, ignoreError } from '../http/linger.ts';
import { mayHaveDroppedHeaders } from '../http/node-internals.ts';
import { asProxyError, rawProblem, sendProblem } from '../http/problem.ts';
import type { LogTarget } from '../logger.ts';
import { hasBody, startReadingBody } from '../proxy/body.ts';
import { requestIdOf } from '../proxy/gateway.ts';
import { RouteTable } from '../proxy/route.ts';
import { afterResponses, Pipelining } from '../server/pipelining.ts';
import { Runtime } from '../server/runtime.ts';
import { createLog, logTo } from '../telemetry/log.ts';
import { MAX_WAITING_LOG_BYTES, Output, streamWriter } from '../telemetry/output.ts';

export { ConfigError } from '../errors.ts';
export type { ConfigProblem } from '../errors.ts';
export type { LogEvent, LogFields, LogTarget as Log } from '../logger.ts';

/** The content of `proxy.config.yaml` as an object. */
export type WakalaConfig = z.input<typeof configSchema>;

export interface WakalaOptions {
  /** Path of a configuration file, or its content as an object. */
  readonly config: string | WakalaConfig;
  /** Variables for `${NAME}` in the configuration. Default: `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Receives log lines. Default: standard error, in the level and format of `log` in the configuration. */
  readonly log?: LogTarget;
}

/** A proxy to mount in an app: the same as the command, without its listeners. */
export interface Wakala {
  /**
   * Handles a request of `node:http`. Nothing may have read its body before. With `next`, as in Express and connect,
   * requests without a route are passed on. Without it, they get 404.
   */
  readonly handler: (req: IncomingMessage, res: ServerResponse, next?: (error?: unknown) => void) => void;
  /** Handles an `upgrade` event of `node:http`: WebSockets, on routes with `websocket: true`. */
  readonly upgrade: (req: IncomingMessage, socket: Duplex, head: Buffer) => void;
  /** Whether a route has this request target: `url` of a request of `node:http`. */
  readonly hasRoute: (target: string) => boolean;
  /** Closes all connections to providers. Call it after the app's server is closed. */
  readonly close: () => Promise<void>;
}

/** Stands for the file name in error messages if the configuration is an object. */
const OBJECT_NAME = 'createWakala({ config })';

/**
 * Creates a proxy to mount in an app. The same callers are admitted as by the command: set `listen` to the address of
 * the app's server; if other machines can reach it, `clients` is required. There is no admin listener and no reload.
 * @throws ConfigError with all problems of the configuration
 * @example
 * const wakala = createWakala({ config: 'proxy.config.yaml' });
 * createServer(wakala.handler).listen(8080, '127.0.0.1');
 */
export function createWakala(options: WakalaOptions): Wakala {
  const config = configOf(options);
  const { level, format } = config.log;
  const own = () => createLog({ level, format, tty: false, colour: false }, stderrOutput());
  const log = options.log === undefined ? own() : logTo(options.log);
  const hasRoute = routeFinder(config);
  const opening = Runtime.open(config, { log, keep: 0 });
  // Reported by `handle`, `upgrade` and `close`, which await it.
  opening.catch(() => undefined);
  const pipelining = new Pipelining();
  const handle = (req: IncomingMessage, res: ServerResponse, wasRead: boolean) => {
    opening.then(
      ({ gateway }) => {
        const refusal = droppedHeaders(req) ?? (wasRead ? bodyWasRead() : undefined);
        if (refusal === undefined) gateway.handle(req, res);
        else gateway.refuse(req, res, refusal);
      },
      (cause: unknown) => sendProblem(res, asProxyError(cause), requestIdOf(req.rawHeaders)),
    );
  };
  const upgrade = async (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    const refusal = droppedHeaders(req);
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

/** Standard error. Its errors are ignored: a closed pipe (EPIPE) must not end the app. */
function stderrOutput(): Output {
  const { stderr } = process;
  if (!stderr.listeners('error').includes(ignoreError)) stderr.on('error', ignoreError);
  return new Output(streamWriter(stderr), MAX_WAITING_LOG_BYTES);
}

function configOf({ config, env }: WakalaOptions): Config {
  const isFile = typeof config === 'string';
  const file = isFile ? config : OBJECT_NAME;
  const text = isFile ? {} : { text: JSON.stringify(config, null, 2) };
  const loaded = loadConfig(file, { ...text, ...(env === undefined ? {} : { env }), admin: false }).config;
  if (loaded.workers > 1 || loaded.tls !== undefined) {
    const message = '`workers` and `listen.tls` apply only to the command. Configure them on the server of the app';
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

/** The error for a request whose header lines the app's server may have dropped. */
function droppedHeaders(req: IncomingMessage): ProxyError | undefined {
  if (!mayHaveDroppedHeaders(req)) return undefined;
  return new ProxyError(
    'header_too_large',
    "The request has as many header lines as the app's server keeps, so some may be missing. Send fewer, or raise the " +
      'maxHeadersCount of the server. Nothing was sent.',
  );
}

/** Whether something else, such as a body parser, has read the body. */
function isRead(req: IncomingMessage): boolean {
  return hasBody(req) && (req.readableDidRead || req.readableEnded);
}

function bodyWasRead(): ProxyError {
  return new ProxyError(
    'internal_error',
    'The request body was read before the request reached Wakala. Mount Wakala before body parsers. Nothing was sent.',
    { outcome: 'not_sent' },
  );
}
