import type { SignRule } from '../../src/providers/sign-rule.ts';

/*
 * The rules of real APIs. Their documentation says what is signed; test/signing/vectors.test.ts has values that were
 * computed with openssl.
 */

const pkcs1 = (input: string, key: string) => ({ rsa_encrypt: input, key: `{${key}}`, padding: 'pkcs1' }) as const;

export const MPESA: readonly SignRule[] = [
  {
    calls: ['POST /mpesa/stkpush/v1/processrequest', 'POST /mpesa/stkpushquery/v1/query'],
    values: {
      timestamp: { now: 'yyyyMMddHHmmss', zone: '+03:00' },
      password: { text: '{json:BusinessShortCode}{passkey}{timestamp}', encoding: 'base64' },
    },
    json: { Timestamp: '{timestamp}', Password: '{password}' },
  },
  {
    calls: ['POST /mpesa/b2c/v1/paymentrequest', 'POST /mpesa/b2c/v3/paymentrequest'],
    values: { credential: pkcs1('{initiator_password}', 'certificate') },
    json: { InitiatorName: '{initiator}', SecurityCredential: '{credential}' },
  },
  {
    calls: ['POST /mpesa/reversal/v1/request', 'POST /mpesa/accountbalance/v1/query'],
    values: { credential: pkcs1('{initiator_password}', 'certificate') },
    json: { Initiator: '{initiator}', SecurityCredential: '{credential}' },
  },
];

const ACCOUNTS = '/v3-apis/account-api/v3.0/accounts';
const REMITTANCE = '/v3-apis/transaction-api/v3.0/remittance';

const jenga = (calls: string[], text: string): SignRule => ({
  calls,
  values: { s: { rsa_sha256: text, key: '{private_key}' } },
  headers: { Signature: '{s}' },
});

export const JENGA: readonly SignRule[] = [
  jenga(
    [`GET ${ACCOUNTS}/balances/{country}/{account}`, `GET ${ACCOUNTS}/miniStatement/{country}/{account}`],
    '{path:country}{path:account}',
  ),
  jenga([`POST ${ACCOUNTS}/fullStatement`], '{json:accountNumber}{json:countryCode}{json:toDate}'),
  jenga(
    [`POST ${REMITTANCE}/internalBankTransfer`, `POST ${REMITTANCE}/internalBankTransfer/imt`],
    '{json:source.accountNumber}{json:transfer.amount}{json:transfer.currencyCode}{json:transfer.reference}',
  ),
  jenga(
    [`POST ${REMITTANCE}/sendmobile`, `POST ${REMITTANCE}/sendmobile/imt`],
    '{json:transfer.amount}{json:transfer.currencyCode}{json:transfer.reference}{json:source.accountNumber}',
  ),
  jenga(['GET /v3-apis/transaction-api/v3.0/transactions/details/{ref}'], '{path:ref}'),
];

export const AIRTEL: readonly SignRule[] = [
  {
    calls: ['POST /standard/v1/disbursements/', 'POST /standard/v2/disbursements/', 'POST /standard/v3/disbursements'],
    values: { sealed_pin: pkcs1('{pin}', 'public_key') },
    json: { pin: '{sealed_pin}' },
  },
  {
    calls: ['POST /merchant/v2/payments/', 'POST /standard/v2/disbursements/'],
    values: {
      k: { random: 32, encoding: 'base64' },
      iv: { random: 16, encoding: 'base64' },
      sealed: { aes_256_cbc: '{body}', key: '{k}', iv: '{iv}', key_encoding: 'base64' },
      sealed_key: pkcs1('{k}:{iv}', 'public_key'),
    },
    headers: { 'x-signature': '{sealed}', 'x-key': '{sealed_key}' },
  },
];

export const DLOCAL: readonly SignRule[] = [
  {
    calls: ['* /*'],
    values: {
      at: { now: 'iso8601_ms' },
      s: { hmac_sha256: '{login}{at}{body}', key: '{secret_key}', encoding: 'hex' },
    },
    headers: {
      'X-Date': '{at}',
      'X-Login': '{login}',
      'X-Trans-Key': '{trans_key}',
      Authorization: 'V2-HMAC-SHA256, Signature: {s}',
    },
  },
];

export const ECOBANK: readonly SignRule[] = [
  {
    calls: ['POST /corporateapi/merchant/accountbalance'],
    values: {
      v: { fields: ['json'], except: ['secureHash'], item: '{value}', join: '' },
      h: { sha512: '{v}{lab_key}', encoding: 'hex' },
    },
    json: { secureHash: '{h}' },
  },
];

export const PAWAPAY: readonly SignRule[] = [
  {
    calls: ['POST /v2/deposits', 'POST /v2/payouts', 'POST /v2/refunds'],
    values: {
      date: { now: 'iso8601_ms' },
      created: { now: 'epoch_s' },
      expires: { now: 'epoch_s', plus: 60_000 },
      d: { sha512: '{body}' },
      params: {
        text: '("@method" "@authority" "@path" "signature-date" "content-digest" "content-type");alg="ecdsa-p256-sha256";keyid="{key_id}";created={created};expires={expires}',
      },
      base: {
        text: '"@method": {method}\n"@authority": {host}\n"@path": {path}\n"signature-date": {date}\n"content-digest": sha-512=:{d}:\n"content-type": {header:content-type}\n"@signature-params": {params}',
      },
      s: { ecdsa_sha256: '{base}', key: '{private_key}', format: 'p1363' },
    },
    headers: {
      'Content-Digest': 'sha-512=:{d}:',
      'Signature-Date': '{date}',
      'Signature-Input': 'sig-pp={params}',
      Signature: 'sig-pp=:{s}:',
    },
  },
];

export const REMITA: readonly SignRule[] = [
  {
    calls: ['POST /remita/exapp/api/v1/send/api/echannelsvc/merchant/api/paymentinit'],
    values: {
      h: { sha512: '{merchant_id}{json:serviceTypeId}{json:orderId}{json:amount}{api_key}', encoding: 'hex' },
    },
    headers: { Authorization: 'remitaConsumerKey={merchant_id},remitaConsumerToken={h}' },
  },
];

const selcom = (call: string, fields: string): SignRule => ({
  calls: [call],
  values: {
    at: { now: 'iso8601', zone: '+03:00' },
    auth: { text: '{api_key}', encoding: 'base64' },
    names: { fields: [fields], item: '{name}', join: ',' },
    pairs: { fields: [fields] },
    digest: { hmac_sha256: 'timestamp={at}&{pairs}', key: '{api_secret}' },
  },
  headers: {
    Authorization: 'SELCOM {auth}',
    Timestamp: '{at}',
    'Digest-Method': 'HS256',
    Digest: '{digest}',
    'Signed-Fields': '{names}',
  },
});

export const SELCOM: readonly SignRule[] = [selcom('POST /v1/*', 'json'), selcom('GET /v1/*', 'query')];

const snap = (signature: NonNullable<SignRule['values']>[string]): SignRule => ({
  calls: ['* /*'],
  values: {
    at: { now: 'iso8601', zone: '+07:00' },
    digest: { sha256: '{body_minified}', encoding: 'hex' },
    signature,
  },
  headers: { 'X-TIMESTAMP': '{at}', 'X-SIGNATURE': '{signature}' },
});

export const SNAP: readonly SignRule[] = [
  snap({ hmac_sha512: '{method}:{path}:{access_token}:{digest}:{at}', key: '{client_secret}', encoding: 'base64' }),
];

export const SNAP_ASYMMETRIC: readonly SignRule[] = [
  snap({ rsa_sha256: '{method}:{path}:{digest}:{at}', key: '{private_key}' }),
];

export const SNAP_TOKEN: readonly SignRule[] = [
  {
    calls: ['POST /openapi/v1.0/access-token/b2b'],
    values: {
      at: { now: 'iso8601', zone: '+07:00' },
      signature: { rsa_sha256: '{client_id}|{at}', key: '{private_key}' },
    },
    headers: { 'X-CLIENT-KEY': '{client_id}', 'X-TIMESTAMP': '{at}', 'X-SIGNATURE': '{signature}' },
  },
];

export const VODACOM_LOGIN: readonly SignRule[] = [
  {
    calls: ['GET /getSession/'],
    values: { t: pkcs1('{api_key}', 'public_key') },
    headers: { Authorization: 'Bearer {t}', Origin: '*' },
  },
];
