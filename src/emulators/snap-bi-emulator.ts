import { createHash, createHmac, timingSafeEqual, verify } from 'node:crypto';
import { Hono } from 'hono';
import type { JsonObject } from '../json.ts';
import { EMULATED_PUBLIC_KEY } from './emulated-keys.ts';
import {
  type ApiContext,
  echo,
  type EmulatedResponse,
  type EmulatorContext,
  type EmulatorEnv,
  jsonBody,
  type ProviderEmulator,
  randomDigits,
  rawTarget,
  sendJson,
  sendRefusal,
} from './provider-emulator.ts';

/** SNAP of Bank Indonesia: checks the signatures of token requests and calls. */
export const snapBi: ProviderEmulator = {
  summary:
    'checks the signatures and times of token requests and calls, and the headers of calls. Balance and account ' +
    'inquiries and transfers within the bank succeed at once. It does not check that `X-EXTERNAL-ID` is new. ' +
    'Other calls are returned: method, path, query and body.',
  deadTokenResponse: (path) => failure(401, serviceAt(path), '01', 'Invalid Token (B2B)'),
  malformedRequestResponse: (reason) =>
    failure(400, TOKEN_SERVICE, '02', `Invalid mandatory field [${/X-[A-Z-]+/.exec(reason)?.[0] ?? 'grantType'}]`),
  checkTokenRequest: ({ headers }, { credentials, clock }) => {
    const timestamp = headers.get('x-timestamp') ?? '';
    const text = `${credentials.get('client_id')?.reveal() ?? ''}|${timestamp}`;
    const signature = Buffer.from(headers.get('x-signature') ?? '', 'base64');
    const isValid = verify('sha256', Buffer.from(text), EMULATED_PUBLIC_KEY, signature);
    const reason =
      timestampError(timestamp, clock.now()) ??
      (isValid ? undefined : 'X-SIGNATURE is not that of X-CLIENT-KEY|X-TIMESTAMP with the emulated private key');
    return reason === undefined ? undefined : { ...wrongSignature(TOKEN_SERVICE), reason };
  },
  api: (context) => {
    const app = new Hono<EmulatorEnv>();
    app.use(async (c, next) => (await refusal(c, context)) ?? next());
    for (const { path, service, required, result } of CALLS) {
      app.post(path, async (c) => {
        const body = (await jsonBody(c)) ?? {};
        const missing = required.find((name) => body[name] === undefined || body[name] === '');
        if (missing !== undefined) {
          return sendRefusal(c, failure(400, service, '02', `Invalid Mandatory Field {${missing}}`), `no ${missing}`);
        }
        const response = { responseCode: `200${service}00`, responseMessage: 'Successful', ...result(body, context) };
        return sendJson(c, { status: 200, body: response });
      });
    }
    app.all('*', echo);
    return app;
  },
};

/** Codes of services, the middle of each `responseCode`. */
const TOKEN_SERVICE = '73';
const UNKNOWN_SERVICE = '00';

interface Call {
  readonly path: string;
  readonly service: string;
  readonly required: readonly string[];
  readonly result: (body: JsonObject, context: ApiContext) => JsonObject;
}

const CALLS: readonly Call[] = [
  {
    path: '/v1.0/balance-inquiry',
    service: '11',
    required: ['accountNo'],
    result: (body, { random }) => ({
      referenceNo: randomDigits(random, 12),
      ...given(body, ['partnerReferenceNo', 'accountNo']),
      name: 'Emulated account',
      accountInfos: [{ availableBalance: { value: '10000000.00', currency: 'IDR' } }],
    }),
  },
  {
    path: '/v1.0/account-inquiry-internal',
    service: '15',
    required: ['beneficiaryAccountNo'],
    result: (body, { random }) => ({
      referenceNo: randomDigits(random, 12),
      ...given(body, ['partnerReferenceNo', 'beneficiaryAccountNo']),
      beneficiaryAccountName: 'Emulated account',
    }),
  },
  {
    path: '/v1.0/transfer-intrabank',
    service: '17',
    required: ['partnerReferenceNo', 'amount', 'beneficiaryAccountNo', 'sourceAccountNo', 'transactionDate'],
    result: (body, { random }) => ({
      referenceNo: randomDigits(random, 12),
      ...given(body, ['partnerReferenceNo', 'amount', 'beneficiaryAccountNo', 'sourceAccountNo', 'transactionDate']),
    }),
  },
];

/** These members of the body, as the response repeats them. */
function given(body: JsonObject, names: readonly string[]): JsonObject {
  return Object.fromEntries(names.flatMap((name) => (body[name] === undefined ? [] : [[name, body[name]]])));
}

function serviceAt(path: string): string {
  return CALLS.find((call) => call.path === path)?.service ?? UNKNOWN_SERVICE;
}

const MANDATORY_HEADERS = ['X-TIMESTAMP', 'X-SIGNATURE', 'X-PARTNER-ID', 'X-EXTERNAL-ID', 'CHANNEL-ID'];
const MAX_EXTERNAL_ID_LENGTH = 36;

/** Checks the headers of a call. */
async function refusal(c: EmulatorContext, { credentials, clock }: ApiContext): Promise<Response | undefined> {
  const service = serviceAt(c.req.path);
  const valueOf = (name: string) => credentials.get(name)?.reveal() ?? '';
  const header = (name: string) => c.req.header(name) ?? '';
  const missing = MANDATORY_HEADERS.find((name) => header(name) === '');
  if (missing !== undefined) {
    return sendRefusal(c, failure(400, service, '02', `Invalid Mandatory Field {${missing}}`), `no ${missing} header`);
  }
  if (header('x-external-id').length > MAX_EXTERNAL_ID_LENGTH) {
    const reason = `X-EXTERNAL-ID has more than ${MAX_EXTERNAL_ID_LENGTH} characters`;
    return sendRefusal(c, failure(400, service, '01', 'Invalid Field Format {X-EXTERNAL-ID}'), reason);
  }
  if (header('x-partner-id') !== valueOf('partner_id')) {
    const reason = 'X-PARTNER-ID is not the emulated one';
    return sendRefusal(c, failure(401, service, '00', 'Unauthorized. [Unknown client]'), reason);
  }
  const { path, query } = rawTarget(c);
  const timestamp = header('x-timestamp');
  const [, token = ''] = header('authorization').split(' ');
  const digest = createHash('sha256')
    .update(minified(await c.req.text()))
    .digest('hex');
  const text = [c.req.method, query === '' ? path : `${path}?${query}`, token, digest, timestamp].join(':');
  const expected = createHmac('sha512', valueOf('client_secret')).update(text).digest();
  const signature = Buffer.from(header('x-signature'), 'base64');
  const isValid = signature.length === expected.length && timingSafeEqual(signature, expected);
  const reason =
    timestampError(timestamp, clock.now()) ??
    (isValid ? undefined : 'X-SIGNATURE is not that of this request with the emulated client secret');
  return reason === undefined ? undefined : sendRefusal(c, wrongSignature(service), reason);
}

/** JSON without white space outside strings. */
function minified(json: string): string {
  return json.replace(/("(?:[^"\\]|\\.)*")|\s+/g, '$1');
}

const MAX_CLOCK_DIFFERENCE_MS = 5 * 60_000;

function timestampError(timestamp: string, nowMs: number): string | undefined {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$/.test(timestamp)) {
    return 'X-TIMESTAMP is not like 2026-01-01T19:00:00+07:00';
  }
  const differenceMs = Math.abs(Date.parse(timestamp) - nowMs);
  return differenceMs <= MAX_CLOCK_DIFFERENCE_MS ? undefined : 'X-TIMESTAMP is more than five minutes off';
}

function wrongSignature(service: string): EmulatedResponse {
  return failure(401, service, '00', 'Unauthorized. [Signature]');
}

/** `responseCode` is the status, the code of the service and the code of the case. */
function failure(status: number, service: string, code: string, responseMessage: string): EmulatedResponse {
  return { status, body: { responseCode: `${status}${service}${code}`, responseMessage } };
}
