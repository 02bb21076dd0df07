import type { ExchangeRequest } from '../providers/provider.ts';
import { fill } from '../providers/template.ts';

/** A token request, ready to send. It holds secrets in the clear: never log any part of it. */
export interface TokenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
}

/** Fills an exchange's placeholders. `valueOf` knows the credential fields and, on a refresh, `refresh_token`. */
export async function tokenRequest(
  exchange: ExchangeRequest,
  authServer: string,
  valueOf: (name: string) => string | undefined,
): Promise<TokenRequest> {
  const filled = (fields: Readonly<Record<string, string>> | undefined): Record<string, string> =>
    Object.fromEntries(Object.entries(fields ?? {}).map(([name, template]) => [name, fill(template, valueOf)]));

  const path = fill(exchange.path, valueOf, encodeURIComponent);
  const url = new URL(/^https?:\/\//.test(path) ? path : authServer + path);
  for (const [name, value] of Object.entries(filled(exchange.query))) url.searchParams.append(name, value);

  const headers: Record<string, string> = {
    accept: 'application/json',
    'user-agent': 'wakala',
    ...lowerCased(filled(exchange.headers)),
  };
  if (exchange.basic !== undefined) {
    const [user, password] = exchange.basic.map((template) => fill(template, valueOf));
    headers['authorization'] = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  }
  if (exchange.body === undefined) return { method: exchange.method, url: url.href, headers, body: undefined };
  const { contentType, bytes } = await encode(exchange.body.encoding, filled(exchange.body.fields));
  return {
    method: exchange.method,
    url: url.href,
    headers: { ...headers, 'content-type': contentType },
    body: bytes,
  };
}

function lowerCased(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

type EncodedBody = { contentType: string; bytes: Uint8Array };

async function encode(encoding: 'json' | 'form' | 'multipart', fields: Record<string, string>): Promise<EncodedBody> {
  switch (encoding) {
    case 'json':
      return { contentType: 'application/json', bytes: Buffer.from(JSON.stringify(fields)) };
    case 'form':
      return {
        contentType: 'application/x-www-form-urlencoded',
        bytes: Buffer.from(new URLSearchParams(fields).toString()),
      };
    case 'multipart': {
      const form = new FormData();
      for (const [name, value] of Object.entries(fields)) form.append(name, value);
      const encoded = new Response(form);
      return {
        contentType: encoded.headers.get('content-type') ?? 'multipart/form-data',
        bytes: new Uint8Array(await encoded.arrayBuffer()),
      };
    }
  }
}
