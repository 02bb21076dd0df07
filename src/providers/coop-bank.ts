import { clientCredentials } from './client-credentials.ts';
import type { Provider } from './provider.ts';

export const coopBank: Provider = {
  name: 'coop-bank',
  title: 'Co-operative Bank of Kenya (Co-op Connect)',
  sources: [
    'Co-op Bank developer portal, "Getting started" (https://developer.co-opbank.co.ke:9443/store/apis/documentation)',
    'Client libraries, for the host openapi.co-opbank.co.ke and the paths',
  ],
  traps: [
    'Both environments use one host, as far as we know, and differ only in the credentials.',
    'Not confirmed: older guides name a sandbox at https://developer.co-opbank.co.ke:8243. If your app is registered there, set `upstream`.',
    'The bank accepts only known IP addresses: ask it to add yours. Otherwise a firewall responds with 403 and an HTML page.',
    '`MessageReference` must be unique for each request.',
    'Not confirmed: the bodies of the responses to wrong credentials and expired tokens. The samples are those of its gateway (WSO2). Wakala checks only the status.',
  ],
  hosts: {
    sandbox: { api: 'https://openapi.co-opbank.co.ke' },
    production: { api: 'https://openapi.co-opbank.co.ke' },
  },
  credentials: [
    { name: 'consumer_key', description: 'Consumer key of the application on the developer portal', secret: true },
    { name: 'consumer_secret', description: 'Consumer secret of the same application', secret: true },
  ],
  token: clientCredentials('/token', 'consumer_key', 'consumer_secret'),
  defaultLifetimeS: 3600,
  deadToken: [{ status: 401 }],
  headers: [],
  tokenPaths: [{ method: 'POST', path: '/token' }],
  samples: {
    tokenResponse: { access_token: '', scope: 'am_application_scope default', token_type: 'Bearer', expires_in: 3600 },
    tokenFormat: 'opaque',
    accessLifetimeS: 3600,
    deniedResponse: {
      status: 401,
      body: { error: 'invalid_client', error_description: 'A valid OAuth client could not be found for client_id' },
    },
    deadTokenResponse: {
      status: 401,
      body: {
        fault: {
          code: 900901,
          message: 'Invalid Credentials',
          description: 'Invalid Credentials. Make sure you have given the correct access token',
        },
      },
    },
    call: {
      method: 'POST',
      path: '/Enquiry/AccountBalance/1.0.0',
      json: { MessageReference: 'INV-1001', AccountNumber: '36001873000' },
    },
  },
};
