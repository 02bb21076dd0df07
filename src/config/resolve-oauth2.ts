import type { TlsIdentity } from '../http/client/connect-options.ts';
import { isLoopbackName } from '../http/ip-address.ts';
import type {
  ClientAuth,
  CredentialField,
  Environment,
  ExchangeRequest,
  OAuth2,
  Provider,
} from '../providers/provider.ts';
import { ASSERTION_ALGORITHMS, type AssertionAlgorithm, isRequested, usesCertificate } from '../providers/provider.ts';
import { placeholdersIn } from '../providers/template.ts';
import { Secret } from '../secret.ts';
import { readSigningKey, type SigningKey } from '../signing/client-assertion.ts';
import { checkPair, checkUsable, EXPIRED_CLIENT, readCertificates, readUnencryptedKey } from './certificates.ts';
import type { Diagnostics } from './diagnostics.ts';
import type { Templates } from './interpolate.ts';
import { fallbackOf } from './schema-fields.ts';
import { type RouteInput, tokenBlock } from './schema-route.ts';
import { oauth2, type OAuth2Input } from './schema-token.ts';
import type { Path } from './source.ts';
import { checkedUrl } from './values.ts';

interface OAuth2Context {
  readonly report: Diagnostics;
  readonly templates: Templates;
  readonly environment: Environment;
  readonly allowAddresses: readonly string[];
  /** Emulators replace the hosts, keys and credentials, which may therefore be missing. */
  readonly emulated: boolean;
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number;
}

/** The name of the provider that uses `oauth2` of a route. */
export const OAUTH2 = 'oauth2';

/** The provider `oauth2` with the settings of one route. */
interface OAuth2Route {
  readonly provider: Provider;
  readonly authServer: string;
  /** The secrets of the block, as credentials beside those of the provider. */
  readonly fields: readonly CredentialField[];
  readonly values: ReadonlyMap<string, Secret>;
  /** The client certificate for the token endpoint alone. */
  readonly certificate: ClientCertificate | undefined;
}

type ClientCertificate = Pick<TlsIdentity, 'cert' | 'key'>;

/** Reports an `oauth2` on a route of another provider. */
export function refuseOAuth2(path: Path, input: RouteInput, report: Diagnostics): void {
  if (input.oauth2 === undefined || input.provider === OAUTH2) return;
  const hint = input.provider === undefined ? 'add `provider: oauth2`' : 'remove one of the two';
  report.problem(path, `\`oauth2\` belongs to \`provider: oauth2\`; ${hint}`, 'oauth2');
}

/** The provider with the server of the route. Undefined if something is missing; then a problem is reported. */
export function readOAuth2(
  path: Path,
  base: Provider,
  input: RouteInput,
  context: OAuth2Context,
): OAuth2Route | undefined {
  const { report } = context;
  const at = [...path, 'oauth2'];
  const written = input.oauth2;
  if (written === undefined) {
    const text = 'the token server is missing; set `oauth2: {issuer: https://...}` or `oauth2: {token_endpoint: ...}`';
    report.problem(path, text, 'oauth2');
    return undefined;
  }
  checkOtherKeys(path, input, report);
  checkTexts(at, written, report);
  checkUnused(at, written, report);
  const authServer = readServer(at, written, context);
  const secrets = new Secrets();
  const oauth2 = readClient(at, written, context, secrets);
  if (authServer === undefined) return undefined;
  const requests = requestsOf(at, base, written, oauth2, { context, secrets });
  const response = { accessToken: 'access_token', expiresIn: 'expires_in', refreshToken: 'refresh_token' };
  const provider: Provider = {
    ...base,
    token: { request: requests.token, response },
    refresh: { request: requests.refresh, response },
    tokenPaths: [],
  };
  const certificate = usesCertificate(oauth2.clientAuth) ? readClientCertificate(path, input, context) : undefined;
  return { provider, authServer, fields: secrets.fields, values: secrets.values, certificate };
}

const DEFAULT_CLIENT_AUTH = fallbackOf(oauth2.shape.client_auth);

/** Keys that only some methods of client authentication use. */
const KEYS_BY_CLIENT_AUTH: Readonly<Record<ClientAuth, readonly (keyof OAuth2Input)[]>> = {
  client_secret_basic: [],
  client_secret_post: [],
  private_key_jwt: ['key', 'key_id', 'algorithm', 'assertion_audience'],
  tls_client_auth: ['cert', 'key'],
  self_signed_tls_client_auth: ['cert', 'key'],
};

const CLIENT_SECRET = 'client_secret';

/** The credential fields that the client authentication of the route needs. */
export function neededFields(
  path: Path,
  fields: readonly CredentialField[],
  input: RouteInput,
  report: Diagnostics,
): readonly CredentialField[] {
  const auth = input.oauth2?.client_auth ?? DEFAULT_CLIENT_AUTH;
  if (auth === 'client_secret_basic' || auth === 'client_secret_post') return fields;
  const text = `\`${CLIENT_SECRET}\` is not used with \`client_auth: ${auth}\`; remove it`;
  if (report.keysAt([...path, 'credentials']).includes(CLIENT_SECRET)) {
    report.problem([...path, 'credentials'], text, CLIENT_SECRET);
  }
  return fields.filter(({ name }) => name !== CLIENT_SECRET);
}

/** Reports keys that the client authentication of the route does not use. */
function checkUnused(at: Path, written: OAuth2Input, report: Diagnostics): void {
  const auth = written.client_auth ?? DEFAULT_CLIENT_AUTH;
  for (const key of new Set(Object.values(KEYS_BY_CLIENT_AUTH).flat())) {
    if (written[key] === undefined || KEYS_BY_CLIENT_AUTH[auth].includes(key)) continue;
    const other =
      key === 'cert' || (key === 'key' && written.cert !== undefined) ? 'tls_client_auth' : 'private_key_jwt';
    const hint = written.client_auth === undefined ? `set \`client_auth: ${other}\`` : 'remove it';
    report.problem(at, `\`${key}\` is not used with \`client_auth: ${auth}\`; ${hint}`, key);
  }
}

/** The secrets of the block, as credentials that the exchange refers to by name. */
class Secrets {
  readonly fields: CredentialField[] = [];
  readonly values = new Map<string, Secret>();

  /** @returns the placeholder */
  add(name: string, key: keyof OAuth2Input, value: string): string {
    this.fields.push({ name, key: `oauth2.${key}`, description: 'in the configuration', secret: true });
    this.values.set(name, new Secret(value));
    return `{${name}}`;
  }
}

/** The client authentication of the token request. */
function readClient(at: Path, written: OAuth2Input, context: OAuth2Context, secrets: Secrets): OAuth2 {
  const { templates } = context;
  const { issuer, client_auth: clientAuth = DEFAULT_CLIENT_AUTH, resource = [] } = written;
  const text = (key: 'key_id' | 'assertion_audience') => {
    const value = written[key];
    return value === undefined ? undefined : templates.text([...at, key], value);
  };
  const resources = [resource].flat().map((each, i) => {
    return templates.text(Array.isArray(resource) ? [...at, 'resource', i] : [...at, 'resource'], each);
  });
  const common: OAuth2 = { clientAuth, ...(issuer && { issuer }), ...(resources.length > 0 && { resources }) };
  if (clientAuth === 'private_key_jwt') {
    const { key, algorithm, keyId } = readAssertionKey(at, written, context);
    const kid = text('key_id') ?? keyId;
    const audience = text('assertion_audience');
    const assertion = { clientId: '{client_id}', key: secrets.add('client_key', 'key', key), algorithm };
    return { ...common, assertion: { ...assertion, ...(kid && { keyId: kid }), ...(audience && { audience }) } };
  }
  return common;
}

/** The fields of the form that authenticate the client. */
function clientFields(auth: ClientAuth): Readonly<Record<string, string>> {
  if (auth === 'client_secret_basic') return {};
  const id = { client_id: '{client_id}' };
  return auth === 'client_secret_post' ? { ...id, client_secret: '{client_secret}' } : id;
}

interface KeyContext {
  readonly report: Diagnostics;
  readonly emulated: boolean;
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number;
}

/** The key that signs the client assertion. */
interface AssertionKey {
  /** PEM or JWK. */
  readonly key: string;
  readonly algorithm: AssertionAlgorithm;
  /** `kid` of the JWK. */
  readonly keyId: string | undefined;
}

/** The key of `private_key_jwt`. Reports what is wrong with it; a missing key is empty. */
function readAssertionKey(at: Path, written: OAuth2Input, { report, emulated }: KeyContext): AssertionKey {
  const { key, algorithm } = written;
  const none: AssertionKey = { key: '', algorithm: algorithm ?? 'RS256', keyId: undefined };
  if (key === undefined) {
    const text = '`key` is missing; add the private key of the client, as PEM or JWK';
    if (!emulated) report.problem(at, text, 'key');
    return none;
  }
  if (key.trim() === '') return none;
  const signing = readSigningKey(key);
  if ('problem' in signing) {
    report.problem([...at, 'key'], signing.problem);
    return none;
  }
  return { key, algorithm: algorithmFor(at, algorithm, signing, report), keyId: signing.keyId };
}

function algorithmFor(
  at: Path,
  written: AssertionAlgorithm | undefined,
  signing: SigningKey,
  report: Diagnostics,
): AssertionAlgorithm {
  const own = signing.algorithm;
  const [usual = 'RS256'] = signing.algorithms;
  const wanted = written ?? (own === undefined ? usual : ASSERTION_ALGORITHMS.find((each) => each === own));
  const list = (names: readonly string[]) => names.map((name) => `\`${name}\``).join(' or ');
  if (written !== undefined && own !== undefined && own !== written) {
    report.problem([...at, 'algorithm'], 'differs from the `alg` of the JWK; remove it');
  } else if (wanted === undefined) {
    report.problem([...at, 'key'], `its \`alg\` is not supported; it must be ${list(ASSERTION_ALGORITHMS)}`);
  } else if (!signing.algorithms.includes(wanted)) {
    const place = written === undefined ? 'key' : 'algorithm';
    const text = written === undefined ? 'its `alg` does not fit the key' : 'does not fit the key';
    report.problem([...at, place], `${text}, which is for ${list(signing.algorithms)}`);
  }
  return wanted ?? usual;
}

/**
 * The certificate and the key of `tls_client_auth` in `oauth2`. Undefined if those under `tls` of the route are used.
 * Reports what is wrong with them.
 */
function readClientCertificate(
  path: Path,
  { oauth2: { cert = '', key = '' } = {} }: RouteInput,
  context: KeyContext,
): ClientCertificate | undefined {
  const { report, emulated } = context;
  const at = [...path, 'oauth2'];
  const texts = { cert, key };
  const isWritten = (name: string) => report.keysAt(at).includes(name);
  if (!isWritten('cert') && !isWritten('key')) {
    const tlsKeys = report.keysAt([...path, 'tls']);
    if (emulated || tlsKeys.includes('cert') || tlsKeys.includes('pfx')) return undefined;
    const text = 'the client certificate is missing; set `cert` and `key`, here or under `tls` of the route';
    report.problem(at, text, 'cert');
    return undefined;
  }
  const missing = {
    cert: '`cert` is missing; add the certificate of the client, as PEM',
    key: '`key` is missing; add the private key of the certificate, as PEM',
  };
  const pemOf = (name: 'cert' | 'key') => {
    const text = texts[name];
    if (text.trim() === '') {
      if (!isWritten(name) && !emulated) report.problem(at, missing[name], name);
      return undefined;
    }
    if (text.includes('-----BEGIN')) return text;
    report.problem([...at, name], 'must be PEM; to read it from a file, write `$' + '{file:/path}`');
    return undefined;
  };
  const [certPem, keyPem] = [pemOf('cert'), pemOf('key')];
  const certificates = certPem && readCertificates([...at, 'cert'], certPem, context, EXPIRED_CLIENT);
  const privateKey = keyPem && readUnencryptedKey(at, keyPem, report);
  if (certificates && privateKey && checkPair(at, certificates, privateKey, report)) {
    checkUsable(at, { cert, key }, report);
  }
  return { cert, key: new Secret(key) };
}

/** Reports other keys of the route that would describe the exchange too. */
function checkOtherKeys(path: Path, input: RouteInput, report: Diagnostics): void {
  const { auth_server, encoding } = input;
  const token = tokenBlock(input);
  const refuse = (at: Path, key: string, value: unknown, text: string) => {
    if (value !== undefined) report.problem(at, `${text}; remove \`${key}\``, key);
  };
  refuse(path, 'auth_server', auth_server, '`oauth2` names the token server');
  refuse(path, 'encoding', encoding, 'an OAuth 2.0 token request is always a form');
  refuse([...path, 'token'], 'refresh', token?.refresh, '`oauth2` defines the refresh request');
  for (const key of ['path', 'url', 'method', 'basic', 'json', 'form', 'multipart'] as const) {
    refuse([...path, 'token', 'request'], key, token?.request?.[key], '`oauth2` defines the token request');
  }
}

function checkTexts(at: Path, written: OAuth2Input, report: Diagnostics): void {
  for (const [key, value] of Object.entries(written)) {
    const texts = Array.isArray(value) ? value : [value];
    texts.forEach((text, i) => {
      const place = Array.isArray(value) ? [...at, key, i] : [...at, key];
      if (typeof text === 'string' && text.trim() === '') report.problem(place, 'is empty; remove it');
      else if (key === 'resource' && typeof text === 'string') checkResource(place, text, report);
    });
  }
}

/** An absolute URI without a fragment (RFC 8707 section 2). */
function checkResource(place: Path, text: string, report: Diagnostics): void {
  if (URL.canParse(text) && !text.includes('#')) return;
  report.problem(place, 'must be an absolute URL such as `https://api.example.com`, without a fragment (`#...`)');
}

/** The origin of the server. */
function readServer(at: Path, written: OAuth2Input, context: OAuth2Context): string | undefined {
  const { report, emulated } = context;
  const { issuer, token_endpoint: endpoint } = written;
  if (issuer !== undefined && endpoint !== undefined) {
    report.problem(at, '`issuer` and `token_endpoint` are both given; keep one', 'token_endpoint');
  }
  const [key, text] = issuer === undefined ? (['token_endpoint', endpoint] as const) : (['issuer', issuer] as const);
  if (text === undefined) {
    if (emulated && ['issuer', 'token_endpoint'].some((each) => report.isSilenced([...at, each])))
      return EMULATED_SERVER;
    const hint =
      'the token server is missing; set `issuer: https://...`, or `token_endpoint` for a server without metadata';
    report.problem(at, hint, 'issuer');
    return undefined;
  }
  return checkServer([...at, key], text, context, written);
}

/** The server of an emulated route that names none. */
const EMULATED_SERVER = 'http://127.0.0.1';

function checkServer(at: Path, text: string, context: OAuth2Context, written: OAuth2Input): string | undefined {
  const { report, environment } = context;
  const url = URL.parse(text);
  const isPlain = url?.protocol === 'http:';
  if (isPlain && !isLoopbackName(url.hostname)) {
    report.problem(at, '`http:` would send credentials and tokens unencrypted; use `https:`');
    return undefined;
  }
  if (isPlain && written.client_auth !== undefined && usesCertificate(written.client_auth)) {
    report.problem(at, '`tls_client_auth` sends its certificate in a TLS handshake; use `https:`');
  }
  // A token endpoint may have a query (RFC 6749 section 3.2), an issuer may not (RFC 8414 section 2).
  const base = at.at(-1) === 'token_endpoint' ? (text.split('?', 1)[0] ?? '') : text;
  if (checkedUrl(at, base, environment, report, context.allowAddresses) === undefined || url === null) return undefined;
  const [name] = placeholdersIn(text);
  if (at.at(-1) === 'token_endpoint') context.templates.plain(at, text);
  else if (name !== undefined) report.problem(at, `\`{${name}}\` is not replaced in an issuer; write the value itself`);
  return url.origin;
}

/** The token request and the refresh request. */
function requestsOf(
  at: Path,
  base: Provider,
  written: OAuth2Input,
  oauth2: OAuth2,
  { context, secrets }: { readonly context: OAuth2Context; readonly secrets: Secrets },
): { readonly token: ExchangeRequest; readonly refresh: ExchangeRequest } {
  const { templates } = context;
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

/** The path of the emulated token endpoint, used if the route names only an issuer. */
function pathOf({ token }: Provider): string {
  return isRequested(token) ? token.request.path : '';
}
