import type { ConnectOptions } from '../http/client/connect-options.ts';
import { type JsonValue, mapStrings } from '../json.ts';
import type { Encoding, ExchangeRequest, OAuth2 } from '../providers/provider.ts';
import { fill } from '../providers/template.ts';
import { clientAssertion } from '../signing/client-assertion.ts';

/** The value of `client_assertion_type` (RFC 7523 2.2). */
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** A token request, ready to send. It contains secrets: never log any part of it. */
export interface TokenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
  /** How the connection is made. Default: directly. */
  readonly connection?: ConnectOptions | undefined;
}

/** What is known only when a request is made. */
interface TokenRequestContext {
  /** The token endpoint from the metadata of the issuer. Undefined if the configuration names it. */
  readonly endpoint?: string | undefined;
  /** Epoch milliseconds, by the token endpoint's clock if that is known. */
  readonly nowMs: number;
}

/**
 * Makes a token request from its template.
 * @param valueOf gives the values of the placeholders: the credentials and, for a refresh, `refresh_token`
 * @param context may be left out for an exchange without client assertion
 */
export async function tokenRequest(
  exchange: ExchangeRequest,
  authServer: string,
  valueOf: (name: string) => string | undefined,
  context: TokenRequestContext = { nowMs: NaN },
): Promise<TokenRequest> {
  const filled = (fields: Readonly<Record<string, string>> | undefined): Record<string, string> =>
    Object.fromEntries(Object.entries(fields ?? {}).map(([name, template]) => [name, fill(template, valueOf)]));

  const path = fill(exchange.path, valueOf, encodeURIComponent);
  const endpoint = context.endpoint ?? (/^https?:\/\//i.test(path) ? path : authServer + path);
  const url = new URL(endpoint);
  for (const [name, value] of Object.entries(filled(exchange.query))) url.searchParams.append(name, value);

  const headers: Record<string, string> = {
    accept: 'application/json',
    'accept-encoding': 'identity',
    'user-agent': 'wakala',
    ...lowerCased(filled(exchange.headers)),
  };
  if (exchange.basic !== undefined) {
    // RFC 6749 2.3.1: form-encoded before Base64. Providers with their own protocols use plain Basic (RFC 7617).
    const encodeField = exchange.oauth2?.clientAuth === 'client_secret_basic' ? formEncoded : String;
    const [user, password] = exchange.basic.map((template) => encodeField(fill(template, valueOf)));
    headers['authorization'] = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  }
  const request = { method: exchange.method, url: url.href, headers };
  if (exchange.body === undefined) return { ...request, body: undefined };
  const { encoding, fields: templates } = exchange.body;
  const fields = Object.entries(templates).map(([name, template]): Field => [
    name,
    mapStrings(template, (text) => fill(text, valueOf)),
  ]);
  const authentication = exchange.oauth2 === undefined ? [] : oauth2Fields(exchange.oauth2, endpoint, valueOf, context);
  const { contentType, bytes } = await encode(encoding, [...fields, ...authentication]);
  // A multipart body has a boundary, which only the encoder knows.
  const type = encoding === 'multipart' ? contentType : (headers['content-type'] ?? contentType);
  return { ...request, headers: { ...headers, 'content-type': type }, body: bytes };
}

type Field = [name: string, value: JsonValue];

/** The resources (RFC 8707) and the client assertion, which is new for each request. */
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

/** A value in application/x-www-form-urlencoded (RFC 6749, appendix B). */
function formEncoded(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1);
}

function lowerCased(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

/** A value in a form. */
function textOf(value: JsonValue): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

type EncodedBody = { contentType: string; bytes: Uint8Array };

async function encode(encoding: Encoding, fields: readonly Field[]): Promise<EncodedBody> {
  switch (encoding) {
    case 'json':
      return { contentType: 'application/json', bytes: Buffer.from(JSON.stringify(Object.fromEntries(fields))) };
    case 'form':
      return {
        contentType: 'application/x-www-form-urlencoded',
        bytes: Buffer.from(
          new URLSearchParams(fields.map(([name, value]): [string, string] => [name, textOf(value)])).toString(),
        ),
      };
    case 'multipart': {
      const form = new FormData();
      for (const [name, value] of fields) form.append(name, textOf(value));
      const encoded = new Response(form);
      return {
        contentType: encoded.headers.get('content-type') ?? 'multipart/form-data',
        bytes: new Uint8Array(await encoded.arrayBuffer()),
      };
    }
  }
}
