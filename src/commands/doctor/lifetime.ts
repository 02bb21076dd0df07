import type { ExchangeResponse } from '../../providers/provider.ts';
import type { Token } from '../../tokens/token.ts';
import { type Finding, ok, warning } from './finding.ts';
import { formatSeconds } from './spoken.ts';

/** A token that lives shorter is worth a warning. */
const SHORT_MS = 60_000;

/** Says how long a token lives, what said so, and when the next one is asked for. */
export function checkLifetime(token: Token, response: ExchangeResponse, defaultLifetimeS: number): Finding {
  const lifetimeMs = token.expiresAtMs - token.issuedAtMs;
  const lifetime = formatSeconds(lifetimeMs);
  const ahead = `refreshed ${formatSeconds(token.expiresAtMs - token.refreshAtMs)} before its end`;
  if (token.lifetimeSource === 'default') {
    return warning(
      `the answer says nothing of a lifetime, so ${formatSeconds(defaultLifetimeS * 1000)} is assumed; ${ahead}`,
      'set `token: {default_lifetime: ...}` on the route to what the provider documents',
    );
  }
  const saw = `${lifetime}, as ${sourceOf(token, response)} says; ${ahead}`;
  if (lifetimeMs >= SHORT_MS) return ok(saw);
  const remedy = 'ask the provider whether it means seconds: so short a life costs an exchange every time';
  return warning(saw, remedy);
}

/** The field of the answer that told the lifetime. */
function sourceOf({ lifetimeSource }: Token, { expiresIn, expiresAt }: ExchangeResponse): string {
  if (lifetimeSource === 'expires_in') return `\`${expiresIn ?? 'expires_in'}\``;
  if (lifetimeSource === 'expires_at') return `\`${expiresAt ?? 'expires_at'}\` (a point in time)`;
  return '`exp` in the token itself';
}
