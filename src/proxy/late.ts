import { ProxyError } from '../errors.ts';

/** What a request may wait for in vain before anything of an answer went out. */
export type Awaited = 'body' | 'token' | 'answer';

/** Why the deadline ends a request. `started`: bytes of it may have reached the provider. */
export function lateError(awaited: Awaited, started: boolean): ProxyError {
  switch (awaited) {
    case 'body':
      return new ProxyError('request_timeout', 'The request body did not arrive in time. Nothing was sent.');
    case 'token':
      return new ProxyError('token_unavailable', 'No token could be had in time. Nothing was sent.');
    case 'answer':
      return started
        ? new ProxyError(
            'upstream_timeout',
            'The provider did not answer in time. It may have acted on the request: ask it for the outcome before you ' +
              'send this again.',
          )
        : new ProxyError('upstream_timeout', 'The provider could not be connected to in time. Nothing was sent.', {
            outcome: 'not_sent',
          });
  }
}
