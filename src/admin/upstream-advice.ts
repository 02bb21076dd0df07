import type { RouteConfig } from '../config/config.ts';
import type { LastFailure } from '../telemetry/activity.ts';
import { type Advice, networkAdvice } from './network-advice.ts';

const UNSURE = 'The provider may have acted on the call: ask it for the outcome before the app sends it again.';

/** Why the last call of a route failed, and what to do about it; undefined if its token was the reason. */
export function upstreamAdvice(route: RouteConfig, failure: LastFailure): Advice | undefined {
  const { host } = new URL(route.upstream);
  switch (failure.code) {
    case 'token_denied':
    case 'token_unavailable':
      return undefined;
    case 'upstream_unreachable':
      return unreachableAdvice(failure, host);
    case 'upstream_reset':
      return {
        code: 'api_reset',
        what: `${host} broke the connection off before its answer was whole.`,
        todo: UNSURE,
      };
    case 'upstream_invalid':
      return { code: 'api_no_http', what: `${host} answered something that is no valid HTTP.`, todo: UNSURE };
    case 'upstream_timeout':
      return timeoutAdvice(route, failure, host);
    case 'overloaded':
      return {
        code: 'overloaded',
        what: `Calls were turned away: ${failure.detail}`,
        todo: 'Raise that limit of the route if the provider takes more at once, or have the app call it less.',
      };
    case 'loop_detected':
      return {
        code: 'loop',
        what: 'The call came back to Wakala: the upstream of this route leads here again.',
        todo: 'Set `upstream` to the address of the provider, not to one of Wakala.',
      };
    default:
      return {
        code: failure.code,
        what: failure.detail,
        todo: `Look for request ${failure.requestId} in the log of Wakala.`,
      };
  }
}

function timeoutAdvice({ timeoutMs }: RouteConfig, failure: LastFailure, host: string): Advice {
  if (failure.detail.includes('could not be connected')) return apiAdvice(networkAdvice('ETIMEDOUT', host), failure);
  return {
    code: 'api_slow',
    what: `${host} took the call but did not answer within ${timeoutMs / 1000} s.`,
    todo: `${UNSURE} If its answers do take that long, raise \`timeout\` of the route.`,
  };
}

function unreachableAdvice(failure: LastFailure, host: string): Advice {
  const [, code = ''] = /\(([^()]+)\)/.exec(failure.detail) ?? [];
  return apiAdvice(networkAdvice(code, host), failure);
}

function apiAdvice(advice: Advice | undefined, { detail }: LastFailure): Advice {
  if (advice === undefined) {
    return { code: 'api_unreachable', what: detail, todo: 'Check that this machine reaches the API host.' };
  }
  return { ...advice, code: `api_${advice.code}`, what: `${advice.what} Nothing was sent.` };
}
