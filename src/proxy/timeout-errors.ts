import type { RouteConfig } from '../config/config.ts';
import { MAY_HAVE_ACTED, ProxyError, type Reason, type TimeoutPhase } from '../errors.ts';

/*
 * The errors of requests that were not done within the `timeout` of their route. What is known about the outcome depends
 * on what the request was waiting for.
 */

export function clientBodyTimeout(config: RouteConfig): ProxyError {
  const detail = `The request body did not arrive within ${timeoutText(config)}. Nothing was sent.`;
  return new ProxyError('request_timeout', detail);
}

export function tokenTimeout(config: RouteConfig): ProxyError {
  const detail = 'The token endpoint did not respond in time. Nothing was sent.';
  return new ProxyError('token_unavailable', detail, { reason: timeout(config, 'token', config.authServer) });
}

export function signingTimeout(config: RouteConfig): ProxyError {
  const detail = `The request was not signed within ${timeoutText(config)}: too many requests were waiting for their signatures. Nothing was sent.`;
  return new ProxyError('overloaded', detail);
}

/**
 * How far a request to the upstream got. `sending_upload`: a part of it was sent, and the rest is still arriving from the
 * client.
 */
export type UpstreamProgress = 'connecting' | 'sending_upload' | 'sending' | 'sent';

export function upstreamTimeout(config: RouteConfig, progress: UpstreamProgress): ProxyError {
  const { upstream } = config;
  switch (progress) {
    case 'connecting': {
      const detail = 'The connection to the provider was not established in time. Nothing was sent.';
      const reason = timeout(config, 'connect', upstream);
      return new ProxyError('upstream_timeout', detail, { reason, outcome: 'not_sent' });
    }
    case 'sending_upload': {
      const detail = `The request body was still arriving from the client after ${timeoutText(config)}. A part of it was sent. ${MAY_HAVE_ACTED}`;
      return new ProxyError('upstream_timeout', detail, { reason: timeout(config, 'request_body', upstream) });
    }
    case 'sending': {
      const detail = `The request was not sent completely in time. ${MAY_HAVE_ACTED}`;
      return new ProxyError('upstream_timeout', detail, { reason: timeout(config, 'send', upstream) });
    }
    case 'sent': {
      const detail = `The provider did not respond in time. ${MAY_HAVE_ACTED}`;
      return new ProxyError('upstream_timeout', detail, { reason: timeout(config, 'response', upstream) });
    }
  }
}

function timeoutText({ timeoutMs }: RouteConfig): string {
  return `${timeoutMs / 1000} s, the \`timeout\` of the route`;
}

function timeout({ timeoutMs }: RouteConfig, phase: TimeoutPhase, server: string): Reason {
  return { kind: 'timeout', phase, timeoutMs, host: new URL(server).host };
}
