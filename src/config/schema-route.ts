import { z } from 'zod';
import { providers } from '../providers/registry.ts';
import { BOUNDS, DEFAULTS } from './defaults.ts';
import { count, duration, size, text, texts } from './fields.ts';
import { oauth2 } from './schema-oauth2.ts';
import { fromTo } from './schema-range.ts';
import { token, tokenHeader } from './schema-token.ts';
import { formatDuration, formatSize } from './units.ts';

export const environment = z.enum(['sandbox', 'production']);

export const route = z
  .strictObject({
    provider: z
      .enum(providers.map((provider) => provider.name))
      .meta({
        description:
          'Built-in provider, as `wakala providers` lists them. Default: none; `token` is spelled out instead.',
      })
      .optional(),
    environment: environment.meta({ description: 'For this route only. Default: the top-level one.' }).optional(),
    credentials: texts(
      'What the provider issued to you, as variables or files; `wakala providers NAME` lists the fields. ' +
        'Default: none; those that the provider needs are required.',
    ).optional(),
    upstream: text("Base URL of the API. Default: the provider's; required where it has none.").optional(),
    auth_server: text(
      "Base URL of the token exchange. Default: the provider's, or `upstream` where both are one host.",
    ).optional(),
    token: token.optional(),
    oauth2: oauth2.optional(),
    encoding: z
      .enum(['multipart', 'form', 'json'])
      .meta({ description: "How the fields of the token request travel. Default: the provider's way." })
      .optional(),
    headers: texts(
      'Headers set on every API call; `{name}` stands for a value under `credentials`. ' +
        "Those of the provider that are not named stay. Default: the provider's.",
    ).optional(),
    token_header: tokenHeader.optional(),
    headers_from_token: texts(
      'Headers set on every API call whose values the token answer gives: dotted paths into its JSON. ' +
        "Default: the provider's, or none.",
    ).optional(),
    timeout: duration(
      'One deadline over body, token, attempt, refresh and second attempt, up to the head of the answer; then a bound ' +
        `on each silence. ${fromTo(BOUNDS.timeoutMs, formatDuration)}`,
      BOUNDS.timeoutMs,
      DEFAULTS.timeout,
    ).optional(),
    connect_timeout: duration(
      `Time to connect to the API, TLS included; no longer than \`timeout\`. ${fromTo(BOUNDS.timeoutMs, formatDuration)}`,
      BOUNDS.timeoutMs,
      DEFAULTS.connect_timeout,
    ).optional(),
    max_body: size(
      `Larger request bodies get 413 \`body_too_large\`. ${fromTo(BOUNDS.bodyBytes, formatSize)}`,
      BOUNDS.bodyBytes,
      DEFAULTS.max_body,
    ).optional(),
    replay_limit: size(
      'Request bodies up to this size are kept in memory for the second attempt; no larger than `max_body`. ' +
        fromTo(BOUNDS.replayBytes, formatSize),
      BOUNDS.replayBytes,
      DEFAULTS.replay_limit,
    ).optional(),
    replay: z
      .union([z.boolean(), z.array(z.string())], {
        error: 'must be `true`, `false`, or a list of methods such as `[GET, POST]`',
      })
      .meta({
        description: 'What may be sent again after a dead token: all, nothing, or these methods.',
        fallback: true,
      })
      .optional(),
    allow: z
      .array(z.string())
      .min(1, { error: 'is empty and would refuse every call; leave it out to allow all' })
      .meta({
        description:
          'The calls that may pass, as `METHOD /path` below the prefix: `*` for any method, a path may end in `*`. ' +
          'Others get 403 `path_refused`. Default: all may.',
        examples: [['POST /mpesa/stkpush/*', 'GET /*']],
      })
      .optional(),
    token_paths: z
      .enum(['placeholder', 'refuse'])
      .meta({
        description:
          "What becomes of calls to the provider's own login: a placeholder token, or 403 `path_refused`. " +
          'None reaches the provider.',
        fallback: 'placeholder',
      })
      .optional(),
    max_concurrency: count(
      'Requests at once on this route, in each of the `workers`; more get 503 `overloaded`. Open WebSockets count apart. ' +
        'Default: no limit.',
      BOUNDS.connections,
    ).optional(),
    websocket: z
      .boolean()
      .meta({
        description: 'Let WebSocket handshakes through, with the token on them; else they get 501 `upgrade_refused`.',
        fallback: false,
      })
      .optional(),
    max_websockets: count(
      'Open WebSockets at once on this route, in each of the `workers`; more get 503 `overloaded`.',
      BOUNDS.connections,
      DEFAULTS.max_websockets,
    ).optional(),
    websocket_idle_timeout: duration(
      `A WebSocket is closed after this long without a byte in either direction. ${fromTo(BOUNDS.timeoutMs, formatDuration)}`,
      BOUNDS.timeoutMs,
      DEFAULTS.websocket_idle_timeout,
    ).optional(),
  })
  .meta({ description: 'Where calls below this prefix go, and how their token is got.' });
