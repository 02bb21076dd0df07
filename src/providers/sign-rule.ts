/*
 * Rules that compute what an API wants on its calls besides the token: signatures, derived passwords, encrypted PINs.
 * They have the same form in the definition of a provider and under `sign` of a route. `src/signing` carries them out.
 *
 * Texts are templates with placeholders: `{passkey}` (a credential), `{timestamp}` (an earlier value of the rule),
 * `{json:a.b}` and others (`src/signing/rule-template.ts` lists them).
 */

/** How a value is written. Bytes are written in base64 unless the rule says otherwise. */
export interface ValueForm {
  readonly encoding?: ValueEncoding;
  /** Also percent-encodes the result (RFC 3986 2.1). */
  readonly percent?: boolean;
}

export const VALUE_ENCODINGS = ['base64', 'base64url', 'hex', 'HEX'] as const;
export type ValueEncoding = (typeof VALUE_ENCODINGS)[number];

/** How the text of a symmetric key stands for its bytes. Default: `utf8`. */
export const KEY_ENCODINGS = ['utf8', 'base64', 'hex'] as const;
export type KeyEncoding = (typeof KEY_ENCODINGS)[number];

/** The functions with a symmetric key. Each is the key of its input: `hmac_sha256: '{body}'`. */
export const HMACS = ['hmac_sha256', 'hmac_sha512'] as const;
export const DIGESTS = ['sha256', 'sha512'] as const;
/** The functions that sign with a private key. */
export const SIGNATURES = ['rsa_sha256', 'rsa_pss_sha256', 'ecdsa_sha256', 'ecdsa_sha512', 'ed25519'] as const;
export const RSA_PADDINGS = ['pkcs1', 'oaep_sha1', 'oaep_sha256'] as const;
/** Formats of ECDSA signatures: ASN.1 DER, or the two numbers alone (IEEE P1363). Default: `der`. */
export const ECDSA_FORMATS = ['der', 'p1363'] as const;

/** A function with its input and options, as in the file. Exactly one function. */
export interface DerivedValue extends ValueForm {
  readonly text?: string;
  /** `epoch_s`, `epoch_ms`, `iso8601`, `iso8601_ms`, or a pattern of yyyy MM dd HH mm ss SSS XXX and `'text'`. */
  readonly now?: string;
  /** With `encoding`: its 16 bytes. */
  readonly uuid?: 'v4' | 'v7';
  /** Number of bytes. Default of `encoding`: `hex`. */
  readonly random?: number;
  readonly sha256?: string;
  readonly sha512?: string;
  readonly hmac_sha256?: string;
  readonly hmac_sha512?: string;
  readonly rsa_sha256?: string;
  readonly rsa_pss_sha256?: string;
  readonly ecdsa_sha256?: string;
  readonly ecdsa_sha512?: string;
  readonly ed25519?: string;
  readonly rsa_encrypt?: string;
  readonly aes_256_cbc?: string;
  /** The members of these, in this order: `json`, `json:biz_content`, `form`, `query`. */
  readonly fields?: readonly string[];

  /** Of `now`: offset from UTC such as `+03:00`. Default: UTC, written as `Z`. */
  readonly zone?: string;
  /** Of `now`: added to the time. Milliseconds. */
  readonly plus?: number;
  /** Of the functions with a key: a template. For private and public keys, credentials only. */
  readonly key?: string;
  readonly key_encoding?: KeyEncoding;
  /** Of `aes_256_cbc`: a template, in `key_encoding`. */
  readonly iv?: string;
  /** Of `ecdsa_*`. */
  readonly format?: (typeof ECDSA_FORMATS)[number];
  /** Of `rsa_encrypt`. Required. */
  readonly padding?: (typeof RSA_PADDINGS)[number];
  /** Of `fields`: names that are left out. */
  readonly except?: readonly string[];
  /** Of `fields`: sorted by name, by bytes. Default: in the order of the body. */
  readonly sort?: boolean;
  /** Of `fields`: leaves out fields with an empty value. */
  readonly empty?: 'drop';
  /** Of `fields`: the text of one field, with `{name}` and `{value}`. Default: `{name}={value}`. */
  readonly item?: string;
  /** Of `fields`: between two fields. Default: `&`. */
  readonly join?: string;
}

/** The names of the functions. */
export const VALUE_FUNCTIONS = [
  'text',
  'now',
  'uuid',
  'random',
  ...DIGESTS,
  ...HMACS,
  ...SIGNATURES,
  'rsa_encrypt',
  'aes_256_cbc',
  'fields',
] as const satisfies readonly (keyof DerivedValue)[];
export type ValueFunction = (typeof VALUE_FUNCTIONS)[number];

export type DerivedValues = Readonly<Record<string, DerivedValue>>;

/** What is computed for some calls, and where it is put. Targets are applied in this order. */
export interface SignRule {
  /**
   * `METHOD /path` below the base URL of the API, `*` for any method. `{name}` is one segment, which `{path:name}` stands
   * for. A `*` at the end is any rest.
   */
  readonly calls: readonly string[];
  /** In order: a value can use those before it. */
  readonly values?: DerivedValues;
  /** Members of the JSON object in the body: templates by name. */
  readonly json?: Readonly<Record<string, string>>;
  readonly form?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A rule of a built-in provider. */
export interface ProviderSignRule extends SignRule {
  /**
   * The optional credential that switches the rule on. The others that the rule names are required then. Undefined: the
   * rule is always on.
   */
  readonly when?: string;
}

/** The names of what a rule fills in: members, parameters and headers. */
export function targetsOf({ json, form, query, headers }: SignRule): readonly string[] {
  return [json, form, query, headers].flatMap((targets) => Object.keys(targets ?? {}));
}
