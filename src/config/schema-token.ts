import { z } from 'zod';
import { BOUNDS, DEFAULTS } from './defaults.ts';
import { duration, text, texts } from './fields.ts';

const request = z
  .strictObject({
    method: z.enum(['GET', 'POST']).meta({ description: 'HTTP method', fallback: 'POST' }).optional(),
    path: text('Path below `auth_server`, or below `upstream` where there is none: `/oauth2/token`').optional(),
    url: text('The whole URL, in place of `path`').optional(),
    query: texts('Query parameters').optional(),
    headers: texts('Request headers').optional(),
    basic: z
      .strictObject({ username: text('User name'), password: text('Password') })
      .meta({ description: 'HTTP Basic authentication' })
      .optional(),
    json: texts('The body, sent as JSON').optional(),
    form: texts('The body, sent as application/x-www-form-urlencoded').optional(),
    multipart: texts('The body, sent as multipart/form-data').optional(),
  })
  .meta({
    description:
      'The request that asks for a token. `{name}` stands for a value under `credentials`. Over a built-in ' +
      "provider's request, query and headers are merged by name; a body replaces the provider's whole body.",
  });

const response = z
  .strictObject({
    access_token: text('Where the token is').optional(),
    expires_in: text('Where its lifetime in seconds is').optional(),
    expires_at: text('Where the time of its expiry is: epoch seconds, epoch milliseconds or ISO 8601').optional(),
    refresh_token: text('Where the refresh token is').optional(),
  })
  .meta({ description: 'Where the answer holds what: dotted paths into its JSON, such as `data.accessToken`' });

const refresh = z.strictObject({ request: request.optional(), response: response.optional() }).meta({
  description:
    'How to exchange a refresh token for the next token; `{refresh_token}` stands for it. The answer is read as ' +
    "the token request's answer is, unless `response` says otherwise.",
});

const answerRule = z
  .strictObject({
    status: z.int().min(200).max(599).meta({ description: 'HTTP status of the answer' }),
    body: z
      .record(z.string(), z.union([z.string(), z.number()], { error: 'must be a text or a number' }))
      .meta({ description: 'Values its JSON must have too, by dotted path' })
      .optional(),
  })
  .meta({ description: 'An answer: its status, and values of its JSON' });

export const tokenHeader = z
  .strictObject({
    name: text('Name of the header').meta({ description: 'Name of the header', fallback: 'Authorization' }).optional(),
    scheme: text(
      'What stands before the token; `Bearer` in `Authorization` and nothing elsewhere, unless given',
    ).optional(),
  })
  .meta({ description: 'Which header carries the token on API calls, in place of `Authorization: Bearer`' });

export const token = z
  .strictObject({
    request: request.optional(),
    response: response.optional(),
    refresh: refresh.optional(),
    default_lifetime: duration(
      'How long a token lives where neither the answer nor the token itself says so',
      BOUNDS.lifetimeMs,
      DEFAULTS.default_lifetime,
    ).optional(),
    dead_token: z
      .array(answerRule)
      .min(1, { error: 'is empty; leave it out for a plain 401' })
      .meta({ description: 'API answers that mean that the token is dead; 401 unless given' })
      .optional(),
    denied_token: z
      .array(answerRule)
      .min(1, { error: 'is empty; leave it out' })
      .meta({
        description: 'Answers to the token request that mean that the credentials are wrong, beside 400, 401, 403, 422',
      })
      .optional(),
  })
  .meta({
    description: 'How to ask for a token: all of it for a service without built-in provider, or the parts that differ',
  });

export type TokenInput = z.output<typeof token>;
export type RequestInput = z.output<typeof request>;
export type ResponseInput = z.output<typeof response>;
