import type { Config } from '../config/config.ts';
import type { RecordedDetails, RecordedMessage } from '../telemetry/recorder.ts';
import type { AttemptRecord } from '../telemetry/trail.ts';
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
  readonly attempts: readonly AttemptRecord[];
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
export function requestDetails(pid: number, recorded: RecordedDetails, config: Config): RequestDetails {
  const view = requestView(pid, recorded);
  const { request, response, requestBytes, answerBytes, path } = recorded;
  const why = whyNoBodies(recorded, config);
  const requestBody = shownBody(request, requestBytes, why);
  return {
    view,
    outcome: recorded.outcome,
    detail: recorded.detail,
    clientLeft: recorded.clientLeft,
    spans: spansOf(recorded),
    attempts: recorded.attempts,
    refusals: recorded.refusals,
    requestBytes,
    answerBytes,
    hasHeaders: recorded.hasHeaders,
    requestHeaders: request.headers,
    answerHeaders: response.headers,
    requestBody,
    answerBody: shownBody(response, answerBytes, why),
    curl: path === undefined ? undefined : curlOf(view, request.headers, requestBody, config),
  };
}

function whyNoBodies({ route: name }: RecordedDetails, { routes }: Config): string {
  const route = routes.find((known) => known.name === name);
  if (route === undefined) return 'It went to no route, so its body was not kept.';
  if (route.inspectBodies) return 'It was not kept.';
  if (route.environment === 'production') return 'Bodies of production routes are never kept.';
  return 'Bodies are not kept. `inspect_bodies: true` in the configuration keeps those of sandbox routes.';
}

function shownBody({ body }: RecordedMessage, size: number, why: string): ShownBody {
  if (size === 0) return { kind: 'none', why: 'Empty.' };
  return body === undefined ? { kind: 'none', why } : { kind: 'text', ...body };
}
