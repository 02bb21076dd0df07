import { createPrivateKey, type X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { type Algorithm, ALGORITHMS, readSigningKey, type SigningKey } from '../client-assertion.ts';
import { isLoopbackName } from '../http/ip-address.ts';
import type {
  ClientAuth,
  CredentialField,
  Environment,
  ExchangeRequest,
  OAuth2,
  Provider,
} from '../providers/provider.ts';
import { Secret } from '../secret.ts';
import type { Diagnostics } from './diagnostics.ts';
import { fallbackOf, oauth2, type OAuth2Input, type RouteInput } from './schema.ts';
import type { Path } from './source.ts';
import type { Templates } from './templates.ts';
import { certificateError, certificatesIn, dateWarnings, faultOf, keyError } from './tls.ts';
import { checkedUrl } from './values.ts';

/** What a route's `oauth2` is read with. */
interface OAuth2Context {
  readonly report: Diagnostics;
  readonly templates: Templates;
  readonly environment: Environment;
  /** Hosts, keys and credentials will be replaced. */
  readonly emulated: boolean;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

const DEFAULT_AUTH = fallbackOf(oauth2.shape.client_auth);

/** Keys of the block that belong to some ways of client authentication only. */
const KEYS_OF: Readonly<Record<ClientAuth, readonly (keyof OAuth2Input)[]>> = {
  client_secret_basic: [],
  client_secret_post: [],
  private_key_jwt: ['key', 'key_id', 'algorithm', 'assertion_audience'],
  tls_client_auth: ['cert', 'key'],
};

const CLIENT_SECRET = 'client_secret';

/** The credential fields that the route's way of client authentication needs. */
export function neededFields(
  path: Path,
  fields: readonly CredentialField[],
  input: RouteInput,
  report: Diagnostics,
): readonly CredentialField[] {
  const auth = input.oauth2?.client_auth ?? DEFAULT_AUTH;
  if (auth === 'client_secret_basic' || auth === 'client_secret_post') return fields;
  const text = `\`${CLIENT_SECRET}\` is of no use with \`client_auth: ${auth}\`; leave it out`;
  if (report.keysAt([...path, 'credentials']).includes(CLIENT_SECRET)) {
    report.problem([...path, 'credentials'], text, CLIENT_SECRET);
  }
  return fields.filter(({ name }) => name !== CLIENT_SECRET);
}

/** Reports keys that the way of client authentication has no use for. */
function checkUses(at: Path, written: OAuth2Input, report: Diagnostics): void {
  const auth = written.client_auth ?? DEFAULT_AUTH;
  for (const key of new Set(Object.values(KEYS_OF).flat())) {
    if (written[key] === undefined || KEYS_OF[auth].includes(key)) continue;
    const other =
      key === 'cert' || (key === 'key' && written.cert !== undefined) ? 'tls_client_auth' : 'private_key_jwt';
    const remedy = written.client_auth === undefined ? `set \`client_auth: ${other}\`` : 'leave it out';
    report.problem(at, `\`${key}\` is of no use with \`client_auth: ${auth}\`; ${remedy}`, key);
  }
}

/** Secrets of the block, under the names by which the exchange refers to them. */
class Secrets {
  readonly fields: CredentialField[] = [];
  readonly values = new Map<string, Secret>();

  /** @returns the placeholder for it */
  add(name: string, key: keyof OAuth2Input, value: string): string {
    this.fields.push({ name, description: `\`${key}\` under \`oauth2\``, secret: key !== 'cert' });
    this.values.set(name, new Secret(value));
    return `{${name}}`;
  }
}

/** How the client shows who it is. */
function readClient(at: Path, written: OAuth2Input, reading: OAuth2Context, secrets: Secrets): OAuth2 {
  const { templates } = reading;
  const { issuer, client_auth: clientAuth = DEFAULT_AUTH, resource = [] } = written;
  const text = (key: 'key_id' | 'assertion_audience') => {
    const value = written[key];
    return value === undefined ? undefined : templates.text([...at, key], value);
  };
  const resources = [resource].flat().map((each, i) => {
    return templates.text(Array.isArray(resource) ? [...at, 'resource', i] : [...at, 'resource'], each);
  });
  const common: OAuth2 = { clientAuth, ...(issuer && { issuer }), ...(resources.length > 0 && { resources }) };
  if (clientAuth === 'private_key_jwt') {
    const { key, algorithm, keyId } = readAssertionKey(at, written, reading);
    const kid = text('key_id') ?? keyId;
    const audience = text('assertion_audience');
    const assertion = { clientId: '{client_id}', key: secrets.add('client_key', 'key', key), algorithm };
    return { ...common, assertion: { ...assertion, ...(kid && { keyId: kid }), ...(audience && { audience }) } };
  }
  if (clientAuth === 'tls_client_auth') {
    const { cert, key } = readClientCertificate(at, written, reading);
    const certificate = {
      cert: secrets.add('client_certificate', 'cert', cert),
      key: secrets.add('client_key', 'key', key),
    };
    return { ...common, certificate };
  }
  return common;
}

/** What of it stands in the form of a token request. */
function clientFields(auth: ClientAuth): Readonly<Record<string, string>> {
  if (auth === 'client_secret_basic') return {};
  const id = { client_id: '{client_id}' };
  return auth === 'client_secret_post' ? { ...id, client_secret: '{client_secret}' } : id;
}

interface KeyReading {
  readonly report: Diagnostics;
  readonly emulated: boolean;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

/** What an assertion is signed with. */
interface AssertionKey {
  /** PEM or JWK. */
  readonly key: string;
  readonly algorithm: Algorithm;
  /** As the JWK names itself. */
  readonly keyId: string | undefined;
}

/** The key of `private_key_jwt`. What is wrong with it is reported; where it is missing, something stands for it. */
function readAssertionKey(at: Path, written: OAuth2Input, { report, emulated }: KeyReading): AssertionKey {
  const { key, algorithm } = written;
  const none: AssertionKey = { key: '', algorithm: algorithm ?? 'RS256', keyId: undefined };
  if (key === undefined) {
    const text = '`key` is missing (the private key of the client, as PEM or JWK)';
    if (!emulated) report.problem(at, text, 'key');
    return none;
  }
  if (key.trim() === '') return none;
  const signing = readSigningKey(key);
  if ('fault' in signing) {
    report.problem([...at, 'key'], signing.fault);
    return none;
  }
  return { key, algorithm: algorithmFor(at, algorithm, signing, report), keyId: signing.keyId };
}

function algorithmFor(at: Path, written: Algorithm | undefined, signing: SigningKey, report: Diagnostics): Algorithm {
  const own = signing.algorithm;
  const [usual = 'RS256'] = signing.algorithms;
  const wanted = written ?? (own === undefined ? usual : ALGORITHMS.find((each) => each === own));
  const list = (names: readonly string[]) => names.map((name) => `\`${name}\``).join(' or ');
  if (written !== undefined && own !== undefined && own !== written) {
    report.problem([...at, 'algorithm'], 'is another than the `alg` in the JWK; leave it out');
  } else if (wanted === undefined) {
    report.problem([...at, 'key'], `its \`alg\` is none that can be used here; it must be ${list(ALGORITHMS)}`);
  } else if (!signing.algorithms.includes(wanted)) {
    const place = written === undefined ? 'key' : 'algorithm';
    const text = written === undefined ? 'its `alg` does not fit the key itself' : 'does not fit the key';
    report.problem([...at, place], `${text}, which is for ${list(signing.algorithms)}`);
  }
  return wanted ?? usual;
}

/** Certificate and key of `tls_client_auth`. What is wrong with them is reported. */
function readClientCertificate(
  at: Path,
  { cert = '', key = '' }: OAuth2Input,
  { report, emulated, now }: KeyReading,
): { readonly cert: string; readonly key: string } {
  const texts = { cert, key };
  const missing = {
    cert: '`cert` is missing (the certificate of the client, as PEM)',
    key: '`key` is missing (the private key of the certificate, as PEM)',
  };
  const faults = { cert: certificateError(cert), key: keyError(key) };
  for (const name of ['cert', 'key'] as const) {
    const isMissing = texts[name].trim() === '';
    const isWritten = report.keysAt(at).includes(name);
    if (isMissing && !isWritten && !emulated) report.problem(at, missing[name], name);
    else if (!isMissing && !texts[name].includes('-----BEGIN')) {
      report.problem([...at, name], 'it must be PEM; to read it from a file, write `$' + '{file:/path}`');
    } else if (!isMissing && faults[name] !== undefined) report.problem([...at, name], faults[name]);
  }
  if (faults.cert === undefined && faults.key === undefined) checkPair(at, texts, report, now);
  return texts;
}

function checkPair(at: Path, { cert, key }: { cert: string; key: string }, report: Diagnostics, now: number): void {
  const read = certificatesIn(cert);
  const all = read.filter((certificate): certificate is X509Certificate => certificate !== undefined);
  if (all.length < read.length || all.length === 0) {
    report.problem([...at, 'cert'], 'is damaged; get it once more from its issuer');
    return;
  }
  for (const warning of all.flatMap((each) => dateWarnings(each, now, 'the server refuses it'))) {
    report.warn([...at, 'cert'], warning);
  }
  const privateKey = createPrivateKey(key);
  const [own, ...chain] = all;
  if (own?.checkPrivateKey(privateKey) === true) {
    const fault = faultOf(() => createSecureContext({ cert, key }));
    if (fault !== undefined) report.problem([...at, 'cert'], `cannot be used: ${fault}`);
  } else if (chain.some((certificate) => certificate.checkPrivateKey(privateKey))) {
    report.problem([...at, 'cert'], 'the certificate that belongs to `key` must come first, before its chain');
  } else {
    report.problem([...at, 'key'], 'does not belong to the certificate in `cert`');
  }
}

/** Name of the provider that `oauth2` of a route belongs to. */
export const OAUTH2 = 'oauth2';

/** What `oauth2` of a route makes of the provider of that name. */
interface OAuth2Route {
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
