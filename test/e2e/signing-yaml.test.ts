import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { blocksOf } from '../docs/documents.ts';
import { sendRequest } from '../support/proxy-client.ts';
import { CliProcess, temporaryDirectory } from '../support/proxy-process.ts';
import { json, RawUpstream, type UpstreamRequest } from '../support/upstream-raw.ts';

/** What openssl prints for this input. It computes and checks all signatures here, from the bytes that arrived. */
function openssl(args: readonly string[], input: string | Buffer = ''): Buffer {
  const { status, stdout, stderr } = spawnSync('openssl', args, { input });
  expect(stderr.toString()).toBe('');
  expect(status).toBe(0);
  return stdout;
}

/** @param bytes latin1 */
function digestOf(algorithm: 'sha256' | 'sha512', bytes: string): Buffer {
  return openssl(['dgst', `-${algorithm}`, '-binary'], Buffer.from(bytes, 'latin1'));
}

function hmacOf(algorithm: 'sha256' | 'sha512', bytes: string, key: string): Buffer {
  return openssl(
    ['dgst', `-${algorithm}`, '-mac', 'HMAC', '-macopt', `key:${key}`, '-binary'],
    Buffer.from(bytes, 'latin1'),
  );
}

/** A private key in a new folder, and whether a signature is by it. */
function keyPair(...algorithm: readonly string[]) {
  const folder = temporaryDirectory();
  const [own, theirs, signature] = ['own.pem', 'public.pem', 'signature'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const pem = openssl(['genpkey', '-quiet', ...algorithm]);
  writeFileSync(own, pem, { mode: 0o600 });
  writeFileSync(theirs, openssl(['pkey', '-in', own, '-pubout']));
  return {
    pem: pem.toString(),
    verify(bytes: string, signed: Buffer, ...options: readonly string[]): void {
      writeFileSync(signature, signed);
      const args = ['dgst', '-sha256', '-verify', theirs, '-signature', signature, ...options];
      expect(openssl(args, Buffer.from(bytes, 'latin1')).toString()).toBe('Verified OK\n');
    },
  };
}

const RSA = ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'];
const P256 = ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'];

/** The route with this name in docs/signing.md. */
function routeInDocs(name: string): string {
  const route = blocksOf('docs/signing.md').find(({ text }) => text.startsWith(`${name}:`));
  if (route === undefined) throw new Error(`docs/signing.md has no route ${name}`);
  return route.text;
}

interface Serving {
  /** Variables and the files that the route refers to. */
  readonly env?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
  readonly respond?: (request: UpstreamRequest) => Buffer;
}

/** A Wakala with this route to an API that keeps all bytes. */
async function serve(route: string, { env = {}, files = {}, respond = () => json(200, {}) }: Serving) {
  const upstream = await RawUpstream.start(respond);
  const folder = temporaryDirectory();
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 });
  const config = join(folder, 'proxy.config.yaml');
  const here = route.replace(/(?<=^ *upstream: )\S+/m, upstream.origin).replace(/^(?=.)/gm, '  ');
  writeFileSync(config, `routes:\n${here}`, { mode: 0o600 });
  const args = ['serve', '-c', config, '--listen', '127.0.0.1:0', '--admin', 'false'];
  const cli = new CliProcess(args, { env });
  const [, port] = await cli.until(/"event":"ready","listen":"127\.0\.0\.1:(\d+)"/);
  return {
    host: new URL(upstream.origin).host,
    requests: upstream.requests,
    /** Sends a call, and gets it as the API got it. */
    async call(path: string, body?: string, headers: Readonly<Record<string, string>> = {}) {
      const type = body === undefined ? {} : { 'content-type': 'application/json' };
      const sent = { authorization: 'Basic of-the-app', ...type, ...headers };
      const response = await sendRequest(Number(port), path, { headers: sent, ...(body !== undefined && { body }) });
      expect([response.status, response.text]).toEqual([200, '{}']);
      const request = upstream.requests.at(-1)!;
      return { request, response, body: request.body.toString('latin1') };
    },
    expectNothingPrinted(...secrets: readonly string[]) {
      for (const secret of secrets) expect(cli.stdout + cli.stderr).not.toContain(secret);
    },
  };
}

/** The value of a header that is there once. */
function headerOf(request: UpstreamRequest, name: string): string {
  const values = request.values(name);
  expect(values, name).toHaveLength(1);
  return values[0]!;
}

/** The groups of the pattern in a header that is there once. */
function partsOf(request: UpstreamRequest, name: string, pattern: RegExp): string[] {
  const value = headerOf(request, name);
  expect(value).toMatch(pattern);
  return [...pattern.exec(value)!].slice(1);
}

it('SNAP: an RSA signature for the token, and an HMAC of each call with the token in it', async () => {
  const key = keyPair(...RSA);
  const isLogin = ({ target }: UpstreamRequest) => target === '/openapi/v1.0/access-token/b2b';
  const { call, requests, expectNothingPrinted } = await serve(routeInDocs('/snap/*'), {
    env: { SNAP_CLIENT_ID: 'client-1', SNAP_CLIENT_SECRET: 'snap-secret-1', SNAP_PARTNER_ID: 'partner-1' },
    files: { 'snap.key': key.pem },
    respond: (request) => json(200, isLogin(request) ? { accessToken: 'snap-token-1', expiresIn: '900' } : {}),
  });
  const body =
    '{ "partnerReferenceNo": "2020102900000000000001",\n "amount": {"value": "10000.00"}, "note": "a b\\"  é" }';
  const minified = '{"partnerReferenceNo":"2020102900000000000001","amount":{"value":"10000.00"},"note":"a b\\"  é"}';
  const sent = await call('/snap/openapi/v1.0/transfer-intrabank?a=1', body);

  const [login] = requests;
  expect([login?.method, login?.target]).toEqual(['POST', '/openapi/v1.0/access-token/b2b']);
  expect(headerOf(login!, 'x-client-key')).toBe('client-1');
  const [loginAt] = partsOf(login!, 'x-timestamp', /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+07:00)$/);
  const loginSignature = headerOf(login!, 'x-signature');
  key.verify(`client-1|${loginAt}`, Buffer.from(loginSignature, 'base64'));

  expect(sent.request.body.toString()).toBe(body);
  expect(headerOf(sent.request, 'authorization')).toBe('Bearer snap-token-1');
  expect(headerOf(sent.request, 'x-partner-id')).toBe('partner-1');
  const at = headerOf(sent.request, 'x-timestamp');
  const digest = digestOf('sha256', Buffer.from(minified).toString('latin1')).toString('hex');
  const text = `POST:/openapi/v1.0/transfer-intrabank:snap-token-1:${digest}:${at}`;
  const signature = hmacOf('sha512', text, 'snap-secret-1').toString('base64');
  expect(headerOf(sent.request, 'x-signature')).toBe(signature);
  expect(requests).toHaveLength(2);
  expectNothingPrinted('snap-secret-1', 'snap-token-1', signature, loginSignature, 'PRIVATE KEY');
}, 60_000);

it('Selcom: an HMAC of the fields of the body or of the query, in their order', async () => {
  const { call, requests, expectNothingPrinted } = await serve(routeInDocs('/selcom/*'), {
    env: { SELCOM_API_KEY: 'selcom-key-1', SELCOM_API_SECRET: 'selcom-secret-1' },
  });
  const body = '{"utilityref":"12345","transid":"T001","amount":5000.00,"billing.firstname":"Asha Émile"}';
  const post = await call('/selcom/v1/checkout/create-order', body);
  const get = await call('/selcom/v1/checkout/order-status?order_id=INV-1&vendor=a%20b');
  const calls = [
    [
      post,
      'utilityref=12345&transid=T001&amount=5000.00&billing.firstname=Asha Émile',
      'utilityref,transid,amount,billing.firstname',
    ],
    [get, 'order_id=INV-1&vendor=a b', 'order_id,vendor'],
  ] as const;
  for (const [{ request, response }, pairs, names] of calls) {
    const auth = Buffer.from('selcom-key-1').toString('base64');
    expect(headerOf(request, 'authorization')).toBe(`SELCOM ${auth}`);
    const [at] = partsOf(request, 'timestamp', /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+03:00)$/);
    const text = Buffer.from(`timestamp=${at}&${pairs}`).toString('latin1');
    expect(headerOf(request, 'digest')).toBe(hmacOf('sha256', text, 'selcom-secret-1').toString('base64'));
    expect(headerOf(request, 'digest-method')).toBe('HS256');
    expect(headerOf(request, 'signed-fields')).toBe(names);
    expect(response.header('wakala-token')).toBeUndefined();
  }
  expect(post.request.body.toString()).toBe(body);
  expect(requests).toHaveLength(2);
  expectNothingPrinted('selcom-key-1', 'selcom-secret-1', Buffer.from('selcom-key-1').toString('base64'));
}, 60_000);

it('dLocal: an HMAC of the login, the time and the bytes of the body', async () => {
  const { call } = await serve(routeInDocs('/dlocal/*'), {
    env: { DLOCAL_LOGIN: 'login-1', DLOCAL_TRANS_KEY: 'trans-key-1', DLOCAL_SECRET_KEY: 'dlocal-secret-1' },
  });
  const body = '{"amount": 120.00, "currency" : "KES"}\n';
  for (const { request, body: received } of [
    await call('/dlocal/payments', body),
    await call('/dlocal/payments/D-1'),
  ]) {
    const [at] = partsOf(request, 'x-date', /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)$/);
    const signature = hmacOf('sha256', `login-1${at}${received}`, 'dlocal-secret-1').toString('hex');
    expect(headerOf(request, 'authorization')).toBe(`V2-HMAC-SHA256, Signature: ${signature}`);
    expect(['x-login', 'x-trans-key', 'x-version'].map((name) => headerOf(request, name))).toEqual([
      'login-1',
      'trans-key-1',
      '2.1',
    ]);
  }
}, 60_000);

it('WeChat Pay: an RSA signature of five lines', async () => {
  const key = keyPair(...RSA);
  const { call } = await serve(routeInDocs('/wechat/*'), {
    env: { WECHAT_MCHID: '1900000001', WECHAT_SERIAL_NO: '5157F09EFDC096DE15EBE81A47057A7232F1B8E1' },
    files: { 'wechat.key': key.pem },
  });
  const nonces = new Set<string>();
  for (const [path, sent] of [
    ['/v3/pay/transactions/jsapi', '{"appid": "wx1", "amount": {"total": 100}}'],
    ['/v3/pay/transactions/id/1217752501201407033233368018?mchid=1900000001'],
  ] as const) {
    const { request, body } = await call(`/wechat${path}`, sent);
    const [nonce = '', signature = '', at] = partsOf(
      request,
      'authorization',
      /^WECHATPAY2-SHA256-RSA2048 mchid="1900000001",nonce_str="([0-9A-F]{32})",signature="([^"]+)",timestamp="(\d{10})",serial_no="5157F09EFDC096DE15EBE81A47057A7232F1B8E1"$/,
    );
    expect(body).toBe(sent ?? '');
    key.verify(`${request.method}\n${path}\n${at}\n${nonce}\n${body}\n`, Buffer.from(signature, 'base64'));
    nonces.add(nonce);
  }
  expect(nonces.size).toBe(2);
}, 60_000);

/** An ECDSA signature of two numbers (IEEE P1363), as the DER that openssl reads. */
function derOf(signature: Buffer): Buffer {
  const integers = [signature.subarray(0, 32), signature.subarray(32)].map((number) => {
    const digits = number.subarray(number.findIndex((byte) => byte !== 0));
    const bytes = digits[0]! > 127 ? Buffer.concat([Buffer.alloc(1), digits]) : digits;
    return Buffer.concat([Buffer.from([2, bytes.length]), bytes]);
  });
  const content = Buffer.concat(integers);
  return Buffer.concat([Buffer.from([0x30, content.length]), content]);
}

it('pawaPay: an HTTP message signature (RFC 9421) beside the token', async () => {
  const key = keyPair(...P256);
  const { call, host } = await serve(routeInDocs('/pawapay/*'), {
    env: { PAWAPAY_TOKEN: 'pawapay-token-1', PAWAPAY_KEY_ID: 'KEY_1' },
    files: { 'pawapay.key': key.pem },
  });
  const { request, body } = await call('/pawapay/v2/deposits', '{"amount":"15"}', {
    'content-digest': 'sha-512=:AA==:',
  });
  expect(headerOf(request, 'authorization')).toBe('Bearer pawapay-token-1');
  const digest = `sha-512=:${digestOf('sha512', body).toString('base64')}:`;
  expect(headerOf(request, 'content-digest')).toBe(digest);
  const date = headerOf(request, 'signature-date');
  const [params = '', created, expires] = partsOf(
    request,
    'signature-input',
    /^sig-pp=(\("@method" "@authority" "@path" "signature-date" "content-digest" "content-type"\);alg="ecdsa-p256-sha256";keyid="KEY_1";created=(\d{10});expires=(\d{10}))$/,
  );
  expect(Number(expires) - Number(created)).toBe(60);
  const [signature = ''] = partsOf(request, 'signature', /^sig-pp=:([^:]+):$/);
  const base = [
    '"@method": POST',
    `"@authority": ${host}`,
    '"@path": /v2/deposits',
    `"signature-date": ${date}`,
    `"content-digest": ${digest}`,
    '"content-type": application/json',
    `"@signature-params": ${params}`,
  ];
  key.verify(base.join('\n'), derOf(Buffer.from(signature, 'base64')));
}, 60_000);

it('Remita: a hash of credentials and fields of the body in Authorization', async () => {
  const route = `
/remita/*:
  upstream: https://remitademo.net
  credentials: { merchant_id: '\${MERCHANT_ID}', api_key: '\${API_KEY}' }
  token: none
  sign:
    - calls: ['POST /remita/exapp/api/v1/send/api/echannelsvc/merchant/api/paymentinit']
      values: { h: { sha512: '{merchant_id}{json:serviceTypeId}{json:orderId}{json:amount}{api_key}', encoding: hex } }
      headers: { Authorization: 'remitaConsumerKey={merchant_id},remitaConsumerToken={h}' }
`.trimStart();
  const { call } = await serve(route, { env: { MERCHANT_ID: '2547916', API_KEY: 'remita-key-1' } });
  const { request } = await call(
    '/remita/remita/exapp/api/v1/send/api/echannelsvc/merchant/api/paymentinit',
    '{"serviceTypeId":"4430731","amount":2000.0,"orderId":"O-1"}',
  );
  const hash = digestOf('sha512', '25479164430731O-12000.0remita-key-1').toString('hex');
  expect(headerOf(request, 'authorization')).toBe(`remitaConsumerKey=2547916,remitaConsumerToken=${hash}`);
}, 60_000);

it('Ecobank: a hash of all values of the body, in it', async () => {
  const route = `
/ecobank/*:
  provider: static
  upstream: https://developer.ecobank.com
  credentials: { token: ecobank-token-1 }
  sign:
    - calls: ['POST /corporateapi/merchant/accountbalance']
      values:
        v: { fields: [json], except: [secureHash], item: '{value}', join: '' }
        h: { sha512: '{v}\${LAB_KEY}', encoding: hex }
      json: { secureHash: '{h}' }
`.trimStart();
  const { call } = await serve(route, { env: { LAB_KEY: 'lab-key-1' } });
  const { body } = await call(
    '/ecobank/corporateapi/merchant/accountbalance',
    '{"requestId": "1", "affiliateCode":"EGH", "accountNo":6500184371}',
  );
  const hash = digestOf('sha512', '1EGH6500184371lab-key-1').toString('hex');
  expect(body).toBe(`{"requestId": "1", "affiliateCode":"EGH", "accountNo":6500184371,"secureHash":"${hash}"}`);
}, 60_000);

it('Telebirr: an RSA-PSS signature of the sorted fields of two objects, after a rule that fills some of them in', async () => {
  const route = `
/telebirr/*:
  provider: static
  upstream: https://developerportal.ethiotelebirr.et:38443/apiaccess/payment/gateway
  credentials: { token: telebirr-token-1 }
  sign:
    - calls: ['POST /payment/v1/merchant/preOrder']
      values: { at: { now: epoch_s }, nonce: { random: 16 } }
      json: { timestamp: '{at}', nonce_str: '{nonce}' }
    - calls: ['POST /payment/v1/merchant/preOrder']
      values:
        pairs: { fields: [json, 'json:biz_content'], except: [sign, sign_type, biz_content], sort: true }
        s: { rsa_pss_sha256: '{pairs}', key: '\${file:telebirr.key}' }
      json: { sign: '{s}', sign_type: SHA256WithRSA }
`.trimStart();
  const key = keyPair(...RSA);
  const { call } = await serve(route, { files: { 'telebirr.key': key.pem } });
  const content = '"biz_content":{"trans_currency":"ETB","total_amount":"12","appid":"1","business_type":"BuyGoods"}';
  const { body } = await call(
    '/telebirr/payment/v1/merchant/preOrder',
    `{"method":"payment.preorder","version":"1.0",${content}}`,
  );
  const start = `{"method":"payment.preorder","version":"1.0",${content},`;
  const [, at, nonce, signature = ''] =
    /^"timestamp":"(\d{10})","nonce_str":"([0-9a-f]{32})","sign":"([^"]+)","sign_type":"SHA256WithRSA"}$/.exec(
      body.slice(start.length),
    ) ?? [];
  expect(body.slice(0, start.length)).toBe(start);
  const text = `appid=1&business_type=BuyGoods&method=payment.preorder&nonce_str=${nonce}&timestamp=${at}&total_amount=12&trans_currency=ETB&version=1.0`;
  const options = ['-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_pss_saltlen:32'];
  key.verify(text, Buffer.from(signature, 'base64'), ...options);
}, 60_000);
