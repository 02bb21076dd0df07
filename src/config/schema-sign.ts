import { z } from 'zod';
import { ECDSA_FORMATS, KEY_ENCODINGS, RSA_PADDINGS, VALUE_ENCODINGS } from '../providers/sign-rule.ts';
import { count, duration, field, flag, text, texts } from './schema-fields.ts';

/** The input of a function: a template. */
function input(doc: string) {
  return field(text, { doc, omitted: 'none' });
}

/** A value that Wakala computes: one function with its options. */
export const derivedValue = z.strictObject({
  text: input('A text with placeholders, as it is or, with `encoding`, encoded.'),
  now: input(
    'The time: `epoch_s`, `epoch_ms`, `iso8601`, `iso8601_ms`, or a pattern of `yyyy`, `MM`, `dd`, `HH`, `mm`, `ss`, ' +
      "`SSS`, `XXX` and `'text'`.",
  ),
  uuid: field(z.enum(['v4', 'v7']), { doc: 'A new UUID of this version.', omitted: 'none' }),
  random: field(count(1, 1024), { doc: 'This many random bytes, in `hex` by default.', omitted: 'none' }),
  sha256: input('SHA-256 of this text.'),
  sha512: input('SHA-512 of this text.'),
  hmac_sha256: input('HMAC with SHA-256 of this text. It needs `key`.'),
  hmac_sha512: input('HMAC with SHA-512 of this text. It needs `key`.'),
  rsa_sha256: input('RSA signature (PKCS #1 v1.5) with SHA-256 of this text. It needs `key`, a private key.'),
  rsa_pss_sha256: input('RSA-PSS signature with SHA-256 and 32 bytes of salt. It needs `key`, a private key.'),
  ecdsa_sha256: input('ECDSA signature with SHA-256. It needs `key`, a private key on P-256.'),
  ecdsa_sha512: input('ECDSA signature with SHA-512. It needs `key`, a private key on P-521.'),
  ed25519: input('Ed25519 signature of this text. It needs `key`, a private key.'),
  rsa_encrypt: input('This text, encrypted with RSA. It needs `key`, a public key or certificate, and `padding`.'),
  aes_256_cbc: input('This text, encrypted with AES-256 in CBC mode. It needs `key` and `iv`.'),
  fields: field(z.array(text).min(1, { error: 'is empty; write `[json]`, `[form]` or `[query]`' }), {
    doc: 'The members of the body (`json`, `form`), of an object in it (`json:data`) or of the `query`, as one text.',
    omitted: 'none',
  }),
  encoding: field(z.enum(VALUE_ENCODINGS), {
    doc: 'How the result is written.',
    omitted: '`base64`; `hex` for `random`; none for `text`, `now`, `uuid` and `fields`',
  }),
  percent: field(flag, { doc: 'Also percent-encodes the result.', omitted: '`false`' }),
  zone: field(text, { doc: 'Of `now`: offset from UTC such as `+03:00`.', omitted: 'UTC' }),
  plus: field(duration('1ms', '8760h'), { doc: 'Of `now`: added to the time.', omitted: 'nothing' }),
  key: field(text, {
    doc: 'The key, by placeholder: `{private_key}`. A private or public key is PEM, a JWK or base64 of DER.',
    omitted: 'none; functions with a key require it',
  }),
  key_encoding: field(z.enum(KEY_ENCODINGS), {
    doc: 'How the texts of `key` (of HMAC and AES) and `iv` stand for their bytes.',
    omitted: '`utf8`',
  }),
  iv: field(text, { doc: 'Of `aes_256_cbc`: the initialization vector.', omitted: 'none; it is required' }),
  format: field(z.enum(ECDSA_FORMATS), { doc: 'Of `ecdsa_*`: form of the signature.', omitted: '`der`' }),
  padding: field(z.enum(RSA_PADDINGS), { doc: 'Of `rsa_encrypt`.', omitted: 'none; it is required' }),
  except: field(z.array(text), { doc: 'Of `fields`: names that are left out.', omitted: 'none' }),
  sort: field(flag, { doc: 'Of `fields`: sorts them by name.', omitted: 'the order of the body' }),
  empty: field(z.enum(['drop']), { doc: 'Of `fields`: leaves out fields with an empty value.', omitted: 'they stay' }),
  item: field(text, {
    doc: 'Of `fields`: the text of each field, with `{name}` and `{value}`.',
    omitted: 'as `{name}={value}`',
  }),
  join: field(text, { doc: 'Of `fields`: the text between two fields.', omitted: 'an ampersand' }),
});

export const derivedValues = z.record(text, derivedValue);

const rule = field(
  z.strictObject({
    calls: field(z.array(text).min(1, { error: "is empty; list calls such as `['POST /v1/payments']`" }), {
      doc:
        'The calls of the rule, as `METHOD /path` below `upstream`: `*` is any method, `{name}` is one segment, and a path ' +
        'may end in `*`.',
    }),
    values: field(derivedValues, {
      doc: 'What is computed, by name. Later values and the targets below use it as `{name}`.',
      omitted: 'none',
    }),
    json: field(texts, { doc: 'Members of the JSON body that are filled in, by name.', omitted: 'none' }),
    form: field(texts, { doc: 'Fields of a form-encoded body that are filled in, by name.', omitted: 'none' }),
    query: field(texts, { doc: 'Query parameters that are filled in, by name.', omitted: 'none' }),
    headers: field(texts, {
      doc: "Headers that are set, by name. They replace the client's. `Authorization` only with `token: none`.",
      omitted: 'none',
    }),
  }),
  { doc: 'What is computed for some calls, and where it is put.' },
);

export const sign = z.array(rule).min(1, { error: 'is empty; remove it' });

export type SignInput = z.output<typeof sign>;
export type DerivedValueInput = z.output<typeof derivedValue>;
