import type { Config } from '../config/config.ts';
import { maskedBody, maskedHeaders } from '../telemetry/mask.ts';
import type { AttemptTrail, Trail } from '../telemetry/trail.ts';
import { curlOf } from './curl.ts';
import { requestView, type RequestView } from './request-view.ts';
import { type Span, spansOf } from './spans.ts';

/** All that may be shown of a request. */
export interface RequestDetails {
  readonly view: RequestView;
  readonly outcome: string | undefined;
  /** What wakala told the client. */
  readonly detail: string | undefined;
  readonly clientLeft: boolean;
  readonly spans: readonly Span[];
  readonly attempts: readonly AttemptTrail[];
  /** How often the provider called the token dead. */
  readonly refusals: number;
  readonly requestBytes: number;
  readonly answerBytes: number;
  /** Those of requests that went well are kept only while somebody looks. */
  readonly hasHeaders: boolean;
  readonly requestHeaders: readonly (readonly [name: string, value: string])[];
  readonly answerHeaders: readonly (readonly [name: string, value: string])[];
  readonly requestBody: ShownBody;
  readonly answerBody: ShownBody;
  /** A line that sends it to the proxy again; undefined where its path was not kept. */
  readonly curl: string | undefined;
}

/** A body, masked, or why there is none. */
export type ShownBody =
  | { readonly kind: 'text'; readonly text: string; /** Bytes left out. */ readonly cut: number }
  | { readonly kind: 'none'; readonly why: string };

/** @param pid of the process that recorded it */
export function requestDetails(pid: number, trail: Trail, config: Config): RequestDetails {
  const view = requestView(pid, trail);
  const why = whyNoBodies(trail, config);
  const requestBody = bodyOf(trail.bodies?.request, trail.requestBytes, trail.requestHeaders, why);
  return {
    view,
    outcome: trail.outcome,
    detail: trail.detail,
    clientLeft: trail.clientLeft,
    spans: spansOf(trail),
    attempts: trail.attempts,
    refusals: trail.refusals,
    requestBytes: trail.requestBytes,
    answerBytes: trail.answerBytes,
    hasHeaders: trail.hasHeaders,
    requestHeaders: maskedHeaders(trail.requestHeaders),
    answerHeaders: maskedHeaders(trail.answerHeaders),
    requestBody,
    answerBody: bodyOf(trail.bodies?.answer, trail.answerBytes, trail.answerHeaders, why),
    curl: trail.path === undefined ? undefined : curlOf(view, trail.requestHeaders, requestBody, config),
  };
}

function whyNoBodies({ route: name }: Trail, { routes }: Config): string {
  const route = routes.find((known) => known.name === name);
  if (route === undefined) return 'It went to no route, so its body was not kept.';
  if (route.inspectBodies) return 'It was not kept.';
  if (route.environment === 'production') return 'Bodies of production routes are never kept.';
  return 'Bodies are not kept. `inspect_bodies: true` in the configuration keeps those of sandbox routes.';
}

function bodyOf(bytes: Uint8Array | undefined, size: number, headers: readonly string[], why: string): ShownBody {
  if (size === 0) return { kind: 'none', why: 'Empty.' };
  if (bytes === undefined) return { kind: 'none', why };
  const at = headers.findIndex((text, i) => i % 2 === 0 && text.toLowerCase() === 'content-encoding');
  return { kind: 'text', text: maskedBody(bytes, at === -1 ? undefined : headers[at + 1]), cut: size - bytes.length };
}
