import { z } from 'zod';
import { BOUNDS, DEFAULTS } from './defaults.ts';
import { duration, text, texts } from './fields.ts';
import { fromTo } from './schema-range.ts';
import { formatDuration } from './units.ts';

const request = z
  .strictObject({
    method: z
      .enum(['GET', 'POST'])
      .meta({ description: 'Method of the request; a `GET` has no body.', fallback: 'POST' })
      .optional(),
    path: text(
      "Path below `auth_server`: `/oauth2/token`. Default: the provider's; without one, `path` or `url` is required.",
    ).optional(),
    url: text('The whole URL, in place of `path`. Default: none.').optional(),
    query: texts("Query parameters, by name. Default: the provider's.").optional(),
    headers: texts("Headers of the request, by name. Default: the provider's.").optional(),
    basic: z
      .strictObject({
        username: text('User name: `{consumer_key}`.'),
        password: text('Password: `{consumer_secret}`.'),
      })
      .meta({ description: "HTTP Basic authentication. Default: the provider's." })
      .optional(),
    json: texts(
      "The body, as JSON; at most one of `json`, `form` and `multipart`. Default: the provider's body.",
    ).optional(),
    form: texts("The body, as application/x-www-form-urlencoded. Default: the provider's body.").optional(),
    multipart: texts("The body, as multipart/form-data. Default: the provider's body.").optional(),
  })
  .meta({
    description:
      'The request that asks for a token. `{name}` stands for a value under `credentials`. Over a built-in ' +
      "provider's request, query and headers are merged by name; a body replaces the provider's whole body. " +
      "Default: the provider's.",
  });

const response = z
  .strictObject({
    access_token: text("Where the token is. Default: the provider's; required without one.").optional(),
    expires_in: text(
      "Where its lifetime is: seconds, a number or a string. Default: the provider's, or nowhere.",
    ).optional(),
    expires_at: text(
      "Where the time of its expiry is: epoch seconds, epoch milliseconds or ISO 8601. Default: the provider's, or nowhere.",
    ).optional(),
    refresh_token: text("Where the refresh token is. Default: the provider's, or nowhere.").optional(),
  })
  .meta({
    description:
      "Where the answer holds what: dotted paths into its JSON, such as `data.accessToken`. Default: the provider's.",
  });

const refresh = z.strictObject({ request: request.optional(), response: response.optional() }).meta({
  description:
    'How to exchange a refresh token for the next token; `{refresh_token}` stands for it. The answer is read as ' +
    "the token request's answer is, unless `response` says otherwise. Default: the provider's, or none.",
});

const answerRule = z
  .strictObject({
    status: z.int().min(200).max(599).meta({ description: 'Status of the answer.' }),
    body: z
      .record(z.string(), z.union([z.string(), z.number()], { error: 'must be a text or a number' }))
      .meta({ description: 'Values that its JSON must have too, by dotted path. Default: any body will do.' })
      .optional(),
  })
  .meta({ description: 'An answer: its status, and values of its JSON.' });

export const tokenHeader = z
  .strictObject({
    name: text('Name of the header.')
      .meta({ description: 'Name of the header.', fallback: 'Authorization' })
      .optional(),
    scheme: text(
      'What stands before the token, with a space between. Default: `Bearer` in `Authorization`, nothing elsewhere.',
    ).optional(),
  })
  .meta({
    description:
      "Which header carries the token on API calls. Default: the provider's, mostly `Authorization: Bearer`.",
  });

export const token = z
  .strictObject({
    request: request.optional(),
    response: response.optional(),
    refresh: refresh.optional(),
    default_lifetime: duration(
      'How long a token lives where neither the answer nor the token itself says so; a provider may have its own ' +
        `default. ${fromTo(BOUNDS.lifetimeMs, formatDuration)}`,
      BOUNDS.lifetimeMs,
      DEFAULTS.default_lifetime,
    ).optional(),
    dead_token: z
      .array(answerRule)
      .min(1, { error: 'is empty; leave it out for a plain 401' })
      .meta({
        description:
          "API answers that mean that the token is dead; the list replaces the provider's. Default: the provider's, or a plain 401.",
      })
      .optional(),
    denied_token: z
      .array(answerRule)
      .min(1, { error: 'is empty; leave it out' })
      .meta({
        description:
          'Answers to the token request that mean that the credentials are wrong, beside 400, 401, 403 and 422. ' +
          "Default: the provider's, or none.",
      })
      .optional(),
  })
  .meta({
    description:
      'How to ask for a token: all of it for a service without built-in provider, or the parts that differ. ' +
      "Default: the provider's.",
  });

export type TokenInput = z.output<typeof token>;
export type RequestInput = z.output<typeof request>;
export type ResponseInput = z.output<typeof response>;
