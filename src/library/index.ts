import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { z } from 'zod';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import type { configSchema } from '../config/schema.ts';
import { ConfigError, ProxyError } from '../errors.ts';
import type { Log } from '../log.ts';
import { asProxyError, sendProblem } from '../proxy/problem.ts';
import { requestIdOf } from '../proxy/request-id.ts';
import { RouteTable } from '../proxy/routes.ts';
import { Core } from '../server/core.ts';
import { whenItsTurn } from '../server/http-server.ts';
import { createLog, maskedLog } from '../telemetry/log.ts';

export { ConfigError } from '../errors.ts';
export type { ConfigProblem } from '../errors.ts';
export type { Log, LogFields } from '../log.ts';

/** What stands in `proxy.config.yaml`, as an object. */
export type WakalaConfig = z.input<typeof configSchema>;

export interface WakalaOptions {
  /** Path of a configuration file, or what would stand in one. */
  readonly config: string | WakalaConfig;
  /** Where `${NAME}` comes from; `process.env` unless given. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Where log lines go; as `log` in the configuration says, to standard error, unless given. */
  readonly log?: Log;
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
  const toStderr = (line: string) => void process.stderr.write(line);
  const own = () => createLog({ level, format, tty: false, colour: false }, toStderr);
  const log = options.log === undefined ? own() : maskedLog(options.log);
  const hasRoute = routeFinder(config);
  const opening = Core.open(config, { log, keep: 0 });
  // Those who wait for it are told.
  opening.catch(() => undefined);
  return {
    handler: (req, res, next) => {
      if (next !== undefined && !hasRoute(req.url ?? '')) {
        next();
        return;
      }
      opening.then(
        ({ gateway }) => {
          if (isRead(req)) gateway.refuse(req, res, bodyGone());
          else whenItsTurn(req, res, () => gateway.handle(req, res));
        },
        (cause: unknown) => sendProblem(res, asProxyError(cause), requestIdOf(req.rawHeaders)),
      );
    },
    upgrade: (req, socket, head) => {
      opening.then(
        ({ upgrades }) => upgrades.handle(req, socket, head),
        () => socket.destroy(),
      );
    },
    hasRoute,
    close: async () => {
      await (await opening).close();
    },
  };
}

function configOf({ config, env }: WakalaOptions): Config {
  const isFile = typeof config === 'string';
  const file = isFile ? config : OPTIONS;
  const text = isFile ? {} : { text: JSON.stringify(config, null, 2) };
  const loaded = loadConfig(file, { ...text, ...(env === undefined ? {} : { env }) }).config;
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
