import { clientCredentials } from './client-credentials.ts';
import type { Provider } from './provider.ts';

export const kcbBuni: Provider = {
  name: 'kcb-buni',
  title: 'KCB Buni (KCB Bank Kenya)',
  sources: [
    'KCB Buni, "M-PESA STK Push API specification" and "Getting started" (https://buni.kcbgroup.com/getting-started)',
    'Client libraries, for the production hosts',
  ],
  traps: [
    'In production, tokens come from another host and another path (`/oauth2/token`) than in the sandbox (`/token`).',
    'Not confirmed: the production API host, https://api.buni.kcbgroup.com. If KCB gave you another one, set `upstream`.',
    '`invoiceNumber` is the till number, a dash and your reference. Set `sharedShortCode` to true for the short code of KCB.',
    'The portal is at sandbox.buni.kcbgroup.com, the sandbox API at uat.buni.kcbgroup.com.',
    'Not confirmed: the bodies of the responses to wrong credentials and expired tokens. The samples are those of its gateway (WSO2). Wakala checks only the status.',
  ],
  hosts: {
    sandbox: { api: 'https://uat.buni.kcbgroup.com' },
    production: { api: 'https://api.buni.kcbgroup.com', auth: 'https://accounts.buni.kcbgroup.com/oauth2' },
  },
  credentials: [
    { name: 'consumer_key', description: 'Consumer key of the application on the Buni developer portal', secret: true },
    { name: 'consumer_secret', description: 'Consumer secret of the same application', secret: true },
  ],
  token: clientCredentials('/token', 'consumer_key', 'consumer_secret'),
  defaultLifetimeS: 3600,
  deadToken: [{ status: 401 }],
  headers: [],
  tokenPaths: [
    { method: 'POST', path: '/token' },
    { method: 'POST', path: '/oauth2/token' },
  ],
  samples: {
    tokenResponse: { access_token: '', scope: 'default', token_type: 'Bearer', expires_in: 3600 },
    tokenFormat: 'jwt',
    accessLifetimeS: 3600,
    deniedResponse: {
      status: 401,
      body: { error: 'invalid_client', error_description: 'A valid OAuth client could not be found for client_id' },
    },
    deadTokenResponse: {
      status: 401,
      body: {
        code: '900901',
        message: 'Invalid Credentials',
        description: 'Invalid Credentials. Make sure you have provided the correct security credentials',
      },
    },
    call: {
      method: 'POST',
      path: '/mm/api/request/1.0.0/stkpush',
      json: {
        phoneNumber: '254700000001',
        amount: '100',
        invoiceNumber: '1234567-INV1001',
        sharedShortCode: true,
        orgShortCode: '',
        orgPassKey: '',
        callbackUrl: 'https://shop.example/callbacks/kcb',
        transactionDescription: 'Order 1001',
      },
    },
  },
};
