import type { CredentialField, ExchangeRequest, OAuth2, Provider } from '../providers/provider.ts';
import { isLoopbackName } from '../loopback.ts';
import type { Secret } from '../secret.ts';
import { checkUses, clientFields, type OAuth2Context, readClient, Secrets } from './oauth2-client.ts';
import type { Diagnostics } from './problems.ts';
import type { RouteInput } from './schema.ts';
import type { OAuth2Input } from './schema-oauth2.ts';
import type { Path } from './tree.ts';
import { checkedUrl } from './urls.ts';

/** Name of the provider that `oauth2` of a route belongs to. */
export const OAUTH2 = 'oauth2';

/** What `oauth2` of a route makes of the provider of that name. */
export interface OAuth2Route {
  readonly provider: Provider;
  readonly authServer: string;
  /** Secrets of the block, as credentials beside those of the provider. */
  readonly fields: readonly CredentialField[];
  readonly values: ReadonlyMap<string, Secret>;
}

/** Reports an `oauth2` on a route of another provider. */
export function refuseOAuth2(path: Path, input: RouteInput, report: Diagnostics): void {
  if (input.oauth2 === undefined || input.provider === OAUTH2) return;
  const remedy = input.provider === undefined ? 'add `provider: oauth2`' : 'leave out one of the two';
  report.problem(path, `\`oauth2\` belongs to \`provider: oauth2\`; ${remedy}`, 'oauth2');
}

/** The provider with everything that the route says of its server. Undefined, and a problem reported: too little. */
export function readOAuth2(
  path: Path,
  base: Provider,
  input: RouteInput,
  reading: OAuth2Context,
): OAuth2Route | undefined {
  const { report } = reading;
  const at = [...path, 'oauth2'];
  const written = input.oauth2;
  if (written === undefined) {
    const text = 'say where tokens come from: `oauth2: {issuer: https://...}`, or `oauth2: {token_endpoint: ...}`';
    report.problem(path, text, 'oauth2');
    return undefined;
  }
  checkRest(path, input, report);
  checkTexts(at, written, report);
  checkUses(at, written, report);
  const authServer = readServer(at, written, reading);
  const secrets = new Secrets();
  const oauth2 = readClient(at, written, reading, secrets);
  if (authServer === undefined) return undefined;
  const requests = requestsOf(at, base, written, oauth2, { reading, secrets });
  const response = { accessToken: 'access_token', expiresIn: 'expires_in', refreshToken: 'refresh_token' };
  const provider: Provider = {
    ...base,
    token: { request: requests.token, response },
    refresh: { request: requests.refresh, response },
    tokenPaths: [],
  };
  return { provider, authServer, fields: secrets.fields, values: secrets.values };
}

/** What other keys of the route say of the exchange is said by `oauth2` alone. */
function checkRest(path: Path, { auth_server, encoding, token }: RouteInput, report: Diagnostics): void {
  const refuse = (at: Path, key: string, value: unknown, text: string) => {
    if (value !== undefined) report.problem(at, `${text}; leave out \`${key}\``, key);
  };
  refuse(path, 'auth_server', auth_server, '`oauth2` says where tokens come from');
  refuse(path, 'encoding', encoding, 'OAuth 2.0 token requests are forms');
  refuse([...path, 'token'], 'refresh', token?.refresh, '`oauth2` says how tokens are refreshed');
  for (const key of ['path', 'url', 'method', 'basic', 'json', 'form', 'multipart'] as const) {
    refuse([...path, 'token', 'request'], key, token?.request?.[key], '`oauth2` says what the token request is');
  }
}

function checkTexts(at: Path, written: OAuth2Input, report: Diagnostics): void {
  for (const [key, value] of Object.entries(written)) {
    const texts = Array.isArray(value) ? value : [value];
    texts.forEach((text, i) => {
      const place = Array.isArray(value) ? [...at, key, i] : [...at, key];
      if (typeof text === 'string' && text.trim() === '') report.problem(place, 'is empty; leave it out');
      else if (key === 'resource' && typeof text === 'string') checkResource(place, text, report);
    });
  }
}

/** RFC 8707 2: an absolute URI without a fragment. */
function checkResource(place: Path, text: string, report: Diagnostics): void {
  if (URL.canParse(text) && !text.includes('#')) return;
  report.problem(place, 'must be a whole URL such as `https://api.example.com`, without a fragment (`#...`)');
}

/** The origin of the server. */
function readServer(at: Path, written: OAuth2Input, reading: OAuth2Context): string | undefined {
  const { report, emulated } = reading;
  const { issuer, token_endpoint: endpoint } = written;
  if (issuer !== undefined && endpoint !== undefined) {
    report.problem(at, '`issuer` and `token_endpoint` are both given; keep one', 'token_endpoint');
  }
  const [key, text] = issuer === undefined ? (['token_endpoint', endpoint] as const) : (['issuer', issuer] as const);
  if (text === undefined) {
    if (emulated && ['issuer', 'token_endpoint'].some((each) => report.isSilenced([...at, each]))) return EMULATED;
    const remedy = 'name its `issuer: https://...`, or the `token_endpoint` of a server without metadata';
    report.problem(at, remedy, 'issuer');
    return undefined;
  }
  return checkServer([...at, key], text, reading, written);
}

/** Stands for a server that is not named, where it will be replaced anyway. */
const EMULATED = 'http://127.0.0.1';

function checkServer(at: Path, text: string, reading: OAuth2Context, written: OAuth2Input): string | undefined {
  const { report, environment } = reading;
  const url = URL.parse(text);
  const isPlain = url?.protocol === 'http:';
  if (isPlain && !isLoopbackName(url.hostname)) {
    report.problem(at, '`http:` would send credentials and tokens in the clear; use `https:`');
    return undefined;
  }
  if (isPlain && written.client_auth === 'tls_client_auth') {
    report.problem(at, '`tls_client_auth` shows its certificate in a TLS handshake; use `https:`');
  }
  // RFC 6749 3.2: a token endpoint may have a query; RFC 8414 2: an issuer may not.
  const base = at.at(-1) === 'token_endpoint' ? (text.split('?', 1)[0] ?? '') : text;
  if (checkedUrl(at, base, environment, report) === undefined || url === null) return undefined;
  if (at.at(-1) === 'token_endpoint') reading.templates.plain(at, text);
  return url.origin;
}

/** The requests for a token and for the next one. */
function requestsOf(
  at: Path,
  base: Provider,
  written: OAuth2Input,
  oauth2: OAuth2,
  { reading, secrets }: { readonly reading: OAuth2Context; readonly secrets: Secrets },
): { readonly token: ExchangeRequest; readonly refresh: ExchangeRequest } {
  const { templates } = reading;
  const text = (key: 'scope' | 'audience') => {
    const value = written[key];
    return value === undefined ? {} : { [key]: templates.text([...at, key], value) };
  };
  const given = written.refresh_token;
  const grant =
    given === undefined
      ? { grant_type: 'client_credentials' }
      : {
          grant_type: 'refresh_token',
          refresh_token: secrets.add('given_refresh_token', 'refresh_token', given),
        };
  const path = written.token_endpoint ?? pathOf(base);
  const request = (fields: Readonly<Record<string, string>>): ExchangeRequest => ({
    method: 'POST',
    path,
    ...(oauth2.clientAuth === 'client_secret_basic' && { basic: ['{client_id}', '{client_secret}'] as const }),
    body: { encoding: 'form', fields: { ...fields, ...clientFields(oauth2.clientAuth) } },
    oauth2,
  });
  return {
    token: request({ ...grant, ...text('scope'), ...text('audience') }),
    refresh: request({ grant_type: 'refresh_token', refresh_token: '{refresh_token}' }),
  };
}

/** Where an emulator has its token endpoint, if the issuer alone is named. */
function pathOf({ token }: Provider): string {
  return 'fixed' in token ? '' : token.request.path;
}
