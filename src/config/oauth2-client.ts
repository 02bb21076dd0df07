import type { ClientAuth, CredentialField, Environment, OAuth2 } from '../providers/provider.ts';
import { Secret } from '../secret.ts';
import { readAssertionKey, readClientCertificate } from './oauth2-keys.ts';
import type { Diagnostics } from './problems.ts';
import type { RouteInput } from './schema.ts';
import type { OAuth2Input } from './schema-oauth2.ts';
import type { Templates } from './templates.ts';
import type { Path } from './tree.ts';

/** What a route's `oauth2` is read with. */
export interface OAuth2Context {
  readonly report: Diagnostics;
  readonly templates: Templates;
  readonly environment: Environment;
  /** Hosts, keys and credentials will be replaced. */
  readonly emulated: boolean;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

const DEFAULT_AUTH: ClientAuth = 'client_secret_basic';

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
export function checkUses(at: Path, written: OAuth2Input, report: Diagnostics): void {
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
export class Secrets {
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
export function readClient(at: Path, written: OAuth2Input, reading: OAuth2Context, secrets: Secrets): OAuth2 {
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
export function clientFields(auth: ClientAuth): Readonly<Record<string, string>> {
  if (auth === 'client_secret_basic') return {};
  const id = { client_id: '{client_id}' };
  return auth === 'client_secret_post' ? { ...id, client_secret: '{client_secret}' } : id;
}
