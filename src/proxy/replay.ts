/** What the decision about a second attempt depends on, and nothing else. */
interface RefusedAttempt {
  /** 1 or 2. There is no third. */
  readonly attempt: number;
  /** Whether all of the request body, if it has one, is still here. A streamed body is not. */
  readonly isBodyAvailable: boolean;
  /** Whether the route's `replay` allows a second attempt for this method. Never true for a WebSocket handshake. */
  readonly isMethodAllowed: boolean;
  readonly isClientGone: boolean;
}

/**
 * Decides what follows when the provider says that the token is dead. Its refusal says that the request was not applied
 * (RFC 9110 15.5.2), and is the only ground on which a request is sent twice.
 * @returns `replay`: get another token and send the request once more. `relay`: the client gets the refusal.
 */
export function decideReplay({
  attempt,
  isBodyAvailable,
  isMethodAllowed,
  isClientGone,
}: RefusedAttempt): 'replay' | 'relay' {
  return attempt === 1 && isBodyAvailable && isMethodAllowed && !isClientGone ? 'replay' : 'relay';
}
