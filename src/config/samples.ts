import { type JsonObject, valueAt, withValueAt } from '../json.ts';
import type { DeadTokenRule, ExchangeResponse, Samples } from '../providers/provider.ts';

const LIFETIME_S = 3600;
const REFRESH_LIFETIME_S = 86_400;

/** What a service described by `token:` alone would answer, so that it can be emulated like a built-in one. */
export function generatedSamples(
  response: ExchangeResponse,
  deadToken: readonly DeadTokenRule[],
  defaultLifetimeS: number,
): Samples {
  const saysLifetime = response.expiresIn !== undefined || response.expiresAt !== undefined;
  return {
    tokenAnswer: withMapped({}, response),
    tokenFormat: 'opaque',
    accessLifetimeS: saysLifetime ? LIFETIME_S : defaultLifetimeS,
    ...(response.refreshToken !== undefined && { refreshLifetimeS: REFRESH_LIFETIME_S }),
    deniedAnswer: { status: 401, body: { error: 'invalid_client' } },
    deadAnswer: deadTokenResponse(deadToken),
    call: { method: 'GET', path: '/' },
  };
}

/** `answer` with a value at every place where the mapping looks for one. */
export function withMapped(answer: JsonObject, response: ExchangeResponse): JsonObject {
  const wanted: [path: string | undefined, value: string | number][] = [
    [response.accessToken, ''],
    [response.refreshToken, ''],
    [response.expiresIn, LIFETIME_S],
    [response.expiresAt, 0],
    ...Object.entries(response.headers ?? {}).map(([name, path]): [string, string] => [path, `emulated-${name}`]),
  ];
  return wanted.reduce<JsonObject>(
    (made, [path, value]) =>
      path === undefined || valueAt(made, path) !== undefined ? made : withValueAt(made, path, value),
    answer,
  );
}

/** An answer that the first of the rules takes for a dead token. */
export function deadTokenResponse([rule]: readonly DeadTokenRule[]): Samples['deadAnswer'] {
  const fields = Object.entries(rule?.body ?? { error: 'invalid_token' });
  return {
    status: rule?.status ?? 401,
    body: fields.reduce<JsonObject>((body, [path, value]) => withValueAt(body, path, value), {}),
  };
}
