import { clientAssertion } from '../client-assertion.ts';
import type { Encoding, ExchangeRequest, OAuth2 } from '../providers/provider.ts';
import { fill } from '../providers/template.ts';

/** RFC 7523 2.2. */
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** A token request, ready to send. It holds secrets in the clear: never log any part of it. */
export interface TokenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
  /** What the client shows of itself in the TLS handshake: PEM texts. */
  readonly certificate?: { readonly cert: string; readonly key: string };
}

/** What is not known before the moment of asking. */
interface TokenRequestContext {
  /** The token endpoint, where it had to be found out first. */
  readonly endpoint?: string | undefined;
  /** By the token endpoint's clock, as far as that is known. Milliseconds since the Unix epoch. */
  readonly nowMs: number;
}

/**
 * Fills an exchange's placeholders. `valueOf` knows the credential fields and, on a refresh, `refresh_token`.
 * `moment` may be left out for an exchange that is the same at any time.
 */
export async function tokenRequest(
  exchange: ExchangeRequest,
  authServer: string,
  valueOf: (name: string) => string | undefined,
  moment: TokenRequestContext = { nowMs: NaN },
): Promise<TokenRequest> {
  const filled = (fields: Readonly<Record<string, string>> | undefined): Record<string, string> =>
    Object.fromEntries(Object.entries(fields ?? {}).map(([name, template]) => [name, fill(template, valueOf)]));

  const path = fill(exchange.path, valueOf, encodeURIComponent);
  const endpoint = moment.endpoint ?? (/^https?:\/\//i.test(path) ? path : authServer + path);
  const url = new URL(endpoint);
  for (const [name, value] of Object.entries(filled(exchange.query))) url.searchParams.append(name, value);

  const headers: Record<string, string> = {
    accept: 'application/json',
    'user-agent': 'wakala',
    ...lowerCased(filled(exchange.headers)),
  };
  if (exchange.basic !== undefined) {
    const encoded = exchange.oauth2?.clientAuth === 'client_secret_basic' ? formEncoded : String;
    const [user, password] = exchange.basic.map((template) => encoded(fill(template, valueOf)));
    headers['authorization'] = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  }
  const certificate = certificateOf(exchange.oauth2, valueOf);
  const request = { method: exchange.method, url: url.href, headers, ...(certificate && { certificate }) };
  if (exchange.body === undefined) return { ...request, body: undefined };
  const fields = Object.entries(filled(exchange.body.fields));
  const proof = exchange.oauth2 === undefined ? [] : oauth2Fields(exchange.oauth2, endpoint, valueOf, moment);
  const { contentType, bytes } = await encode(exchange.body.encoding, [...fields, ...proof]);
  return { ...request, headers: { ...headers, 'content-type': contentType }, body: bytes };
}

type Field = [name: string, value: string];

/** The fields of a body that are made for each request, and those that may come more than once. */
function oauth2Fields(
  { issuer, resources = [], assertion }: OAuth2,
  endpoint: string,
  valueOf: (name: string) => string | undefined,
  { nowMs }: TokenRequestContext,
): Field[] {
  const fields = resources.map((template): Field => ['resource', fill(template, valueOf)]);
  if (assertion === undefined) return fields;
  const { clientId, key, algorithm, keyId, audience } = assertion;
  const jwt = clientAssertion({
    clientId: fill(clientId, valueOf),
    audience: audience === undefined ? (issuer ?? endpoint) : fill(audience, valueOf),
    key: fill(key, valueOf),
    algorithm,
    keyId: keyId && fill(keyId, valueOf),
    nowMs,
  });
  return [...fields, ['client_assertion_type', ASSERTION_TYPE], ['client_assertion', jwt]];
}

function certificateOf(oauth2: OAuth2 | undefined, valueOf: (name: string) => string | undefined) {
  const { certificate } = oauth2 ?? {};
  return certificate && { cert: fill(certificate.cert, valueOf), key: fill(certificate.key, valueOf) };
}

/** One text as application/x-www-form-urlencoded writes a value (RFC 6749, appendix B). */
function formEncoded(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1);
}

function lowerCased(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

type EncodedBody = { contentType: string; bytes: Uint8Array };

async function encode(encoding: Encoding, fields: readonly Field[]): Promise<EncodedBody> {
  switch (encoding) {
    case 'json':
      return { contentType: 'application/json', bytes: Buffer.from(JSON.stringify(Object.fromEntries(fields))) };
    case 'form':
      return {
        contentType: 'application/x-www-form-urlencoded',
        bytes: Buffer.from(new URLSearchParams([...fields]).toString()),
      };
    case 'multipart': {
      const form = new FormData();
      for (const [name, value] of fields) form.append(name, value);
      const encoded = new Response(form);
      return {
        contentType: encoded.headers.get('content-type') ?? 'multipart/form-data',
        bytes: new Uint8Array(await encoded.arrayBuffer()),
      };
    }
  }
}
