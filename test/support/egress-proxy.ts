import { createServer, type IncomingMessage, request as sendRequest } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, type Socket } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { listen } from './listen.ts';

export interface EgressProxyOptions {
  readonly tls?: TlsOptions;
  /** `user:password`. Default: everyone may use it. */
  readonly login?: string;
  /** Handles a request for a tunnel in place of the proxy. */
  readonly onConnect?: (socket: Socket, req: IncomingMessage) => void;
  /** Handles each tunnel that is open. */
  readonly onTunnel?: (client: Socket, server: Socket) => void;
}

/** An HTTP proxy on a free port, which resolves every name to 127.0.0.1. Closed when the test ends. */
export class EgressProxyServer {
  /** Targets of the requests that it got, such as `CONNECT api.test:443`. */
  readonly requests: string[] = [];
  readonly connections: Socket[] = [];
  readonly port: number;
  /** See the option. It may change. */
  login: string | undefined;

  private constructor(port: number, login: string | undefined) {
    this.port = port;
    this.login = login;
  }

  static async start({ tls, login, onConnect, onTunnel }: EgressProxyOptions = {}): Promise<EgressProxyServer> {
    const server = tls === undefined ? createServer() : createTlsServer(tls);
    const proxy = new EgressProxyServer(await listen(server), login);
    const mayPass = ({ headers }: IncomingMessage) =>
      proxy.login === undefined ||
      headers['proxy-authorization'] === `Basic ${Buffer.from(proxy.login).toString('base64')}`;
    server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
      proxy.connections.push(socket);
      socket.on('error', () => {});
    });
    server.on('connect', (req, socket: Socket, head) => {
      proxy.requests.push(`CONNECT ${req.url}`);
      socket.on('error', () => {});
      if (!mayPass(req)) {
        socket.end('HTTP/1.1 407 Login\r\nproxy-authenticate: Basic realm="x"\r\ncontent-length: 0\r\n\r\n');
        return;
      }
      if (onConnect !== undefined) {
        onConnect(socket, req);
        return;
      }
      const upstream = connect(Number(new URL(`http://${req.url}`).port || 80), '127.0.0.1');
      upstream.on('error', () => socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n'));
      upstream.once('connect', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        upstream.write(head);
        onTunnel?.(socket, upstream);
        upstream.pipe(socket).pipe(upstream);
        socket.once('close', () => upstream.destroy());
        upstream.once('close', () => socket.destroySoon());
      });
    });
    server.on('request', (req, res) => {
      proxy.requests.push(`${req.method} ${req.url}`);
      res.on('error', () => {});
      if (!mayPass(req)) {
        res.writeHead(407, { 'proxy-authenticate': 'Basic realm="x"' }).end('login');
        return;
      }
      const { port, pathname, search, host } = new URL(req.url ?? '');
      const headers = { ...req.headers, host };
      delete headers['proxy-authorization'];
      const sent = sendRequest({ port, path: pathname + search, method: req.method, headers }, (response) => {
        res.writeHead(response.statusCode ?? 500, response.rawHeaders);
        response.pipe(res);
      });
      sent.on('error', () => res.destroy());
      req.pipe(sent);
    });
    return proxy;
  }
}
