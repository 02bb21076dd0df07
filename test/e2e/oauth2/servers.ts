import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { OAuth2Server } from 'oauth2-mock-server';
import Provider from 'oidc-provider';
import { onTestFinished } from 'vitest';
import type { Issued } from '../../config/certificate.ts';
import { listen } from '../../support/listen.ts';

/** A server on loopback, closed when the test ends. `scheme://localhost:port` for TLS, as its certificate has it. */
export async function listening(server: Server, scheme = 'http'): Promise<string> {
  const port = await listen(server);
  return `${scheme}://${scheme === 'https' ? 'localhost' : '127.0.0.1'}:${port}`;
}

export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Fields of a form, in order. */
  readonly form: readonly (readonly [name: string, value: string])[];
}

/** A response of a scripted server: JSON. Default status: 200. */
export interface ScriptedResponse {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly text?: string;
}

/** A server that responds by a script and records its requests. */
export async function scriptedServer(response: (request: ReceivedRequest, origin: string) => ScriptedResponse) {
  const arrived: ReceivedRequest[] = [];
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const form = [...new URLSearchParams(Buffer.concat(chunks).toString('utf8'))];
      const request = { method: req.method ?? '', path: req.url ?? '', headers: req.headers, form };
      arrived.push(request);
      const { status = 200, headers = {}, json, text = JSON.stringify(json) } = response(request, origin);
      res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text);
    });
  });
  const origin = await listening(server);
  return { origin, arrived };
}

/** A token endpoint at `/token` of a made-up server. Its tokens are `token-1`, `token-2` and so on. */
export async function scriptedTokenServer(extra: (n: number) => Readonly<Record<string, unknown>> = () => ({})) {
  let count = 0;
  const server = await scriptedServer(() => {
    count += 1;
    return { json: { access_token: `token-${count}`, token_type: 'Bearer', expires_in: 3600, ...extra(count) } };
  });
  return { ...server, endpoint: `${server.origin}/token` };
}

/** A client as oidc-provider wants it registered. */
export type Client = Readonly<Record<string, unknown>>;

export const CLIENT_ID = 'shop/1: "a+b" & co';
export const SECRET = 'made-up=s3cret:/?&=+ %41 "quoted"';

interface OidcOptions {
  /** For TLS with client certificates: the certificate of the server, and the authority of the clients. */
  readonly tls?: { readonly own: Issued; readonly clientCa: Issued };
  /** Below the origin: `/tenants/1`. */
  readonly path?: string;
}

/** An authorization server with one client, for client credentials alone. Scope `payments`, resources any. */
export async function oidcProvider(client: Client, { tls, path = '' }: OidcOptions = {}) {
  const listeners: RequestListener[] = [];
  const listener: RequestListener = (req, res) => {
    listeners[0]?.(req, res);
  };
  const server =
    tls === undefined
      ? createServer(listener)
      : createTlsServer(
          {
            cert: tls.own.cert,
            key: tls.own.key,
            ca: tls.clientCa.cert,
            requestCert: true,
            rejectUnauthorized: false,
          },
          listener,
        );
  const origin = await listening(server, tls === undefined ? 'http' : 'https');
  const provider = new Provider(origin + path, configuration(client, tls !== undefined));
  listeners.push(provider.callback());
  return { issuer: origin + path, origin, endpoint: `${origin}/token` };
}

function configuration(client: Client, mutualTls: boolean): object {
  const registered = {
    client_id: CLIENT_ID,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    scope: 'payments',
    ...client,
  };
  const resourceServer = (_ctx: unknown, audience: string) => ({
    scope: 'payments',
    audience,
    accessTokenFormat: 'jwt',
    accessTokenTTL: 600,
  });
  const methods = ['client_secret_basic', 'client_secret_post', 'private_key_jwt'];
  return {
    clients: [registered],
    scopes: ['payments'],
    clientAuthMethods: mutualTls ? [...methods, 'tls_client_auth', 'self_signed_tls_client_auth'] : methods,
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: resourceServer,
        defaultResource: () => undefined,
        useGrantedResource: () => true,
      },
      ...(mutualTls && {
        mTLS: { enabled: true, tlsClientAuth: true, selfSignedTlsClientAuth: true, ...CERTIFICATES },
      }),
    },
  };
}

interface Context {
  readonly socket: TLSSocket;
}

/** How oidc-provider gets at the certificates of a TLS that this process ends itself. */
const CERTIFICATES = {
  getCertificate: ({ socket }: Context) => socket.getPeerX509Certificate()?.toString(),
  certificateAuthorized: ({ socket }: Context) => socket.authorized,
  certificateSubjectMatches: ({ socket }: Context, _property: string, expected: string) =>
    socket.getPeerX509Certificate()?.subject === expected,
};

/** The mock server, which takes any client. Its metadata is at the place of OpenID alone. */
export async function mockServer() {
  const server = new OAuth2Server();
  await server.issuer.keys.generate('RS256');
  await server.start(0, '127.0.0.1');
  onTestFinished(() => server.stop());
  const { url: issuer = '' } = server.issuer;
  return { server, issuer };
}
