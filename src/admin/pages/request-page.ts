import type { Context } from 'hono';
import { type Child, jsx as h } from 'hono/jsx';
import { formatBytes, formatCount, formatMs } from '../../format.ts';
import type { AdminContext } from '../context.ts';
import {
  NOT_KEPT,
  type RequestDetails,
  requestDetails,
  requestOf,
  type ShownBody,
  type Span,
  type SpanKind,
} from '../inspector.ts';
import { facts, moment, withCode } from './elements.ts';
import { pageResponse } from './layout.ts';
import { status } from './requests-page.ts';

const NAMES: Readonly<Record<SpanKind, string>> = {
  'client body': "Waiting for the client's body",
  token: 'Waiting for a token',
  signing: 'Signing',
  connecting: 'Connecting',
  'first byte': 'Waiting for the first byte',
  'response body': 'Response',
};

/** A table with a row for each span. */
function timing(spans: readonly Span[], attempts: RequestDetails['attempts']): Child {
  const wholeMs = spans.reduce((sum, { lengthMs }) => sum + lengthMs, 0);
  const rows = spans.map((span, i) => row(span, wholeMs, attemptOf(spans, i, attempts.length)));
  return h(
    'section',
    { 'aria-labelledby': 'timing' },
    h('h2', { id: 'timing' }, 'Timing'),
    h(
      'table',
      { class: 'timing' },
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          ...['What', 'Time', 'When'].map((name, i) => h('th', { scope: 'col', class: i === 1 ? 'num' : '' }, name)),
        ),
      ),
      h('tbody', {}, ...rows),
    ),
  );
}

function row(span: Span, wholeMs: number, attempt: string): Child {
  return h(
    'tr',
    {},
    h('th', { scope: 'row' }, NAMES[span.kind] + attempt),
    h('td', { class: 'num' }, formatMs(span.lengthMs)),
    h('td', { class: 'bar' }, bar(span, wholeMs)),
  );
}

/** The number of the attempt, if there were two. */
function attemptOf(spans: readonly Span[], index: number, attempts: number): string {
  if (attempts < 2 || index === 0) return '';
  const before = spans.slice(0, index + 1).filter(({ kind }) => kind === 'token').length;
  return before === 1 ? ', first attempt' : ', second attempt';
}

/** Hidden from screen readers: the number is in the cell before. */
function bar({ kind, fromMs, lengthMs }: Span, wholeMs: number): Child {
  const scale = wholeMs === 0 ? 0 : 100 / wholeMs;
  const width = Math.max(lengthMs * scale, lengthMs > 0 ? 0.5 : 0);
  const x = Math.min(fromMs * scale, 99.5);
  return h(
    'svg',
    { class: 'span', viewBox: '0 0 100 10', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    h('rect', { class: kind.replace(' ', '-'), x: x.toFixed(2), y: '1', width: width.toFixed(2), height: '8' }),
  );
}

/** The page of one request. */
export async function requestPage(c: Context, context: AdminContext): Promise<Response> {
  const found = await requestOf(context.processes(), c.req.param('id') ?? '');
  const back = h('p', { class: 'back' }, h('a', { href: '/requests' }, 'All requests'));
  if (found === undefined) {
    const content = [h('h1', {}, 'Not found'), h('p', {}, NOT_KEPT.detail), back];
    return pageResponse(c, context, { title: 'Not found', section: 'requests', isLive: false, content }, 404);
  }
  const details = requestDetails(found.process.pid, found.details, context.config());
  const content = pageOf(details, found.process.resend !== undefined, back);
  const { method, path } = details.view;
  return pageResponse(c, context, { title: `${method} ${path}`, section: 'requests', isLive: false, content });
}

function pageOf(details: RequestDetails, canResend: boolean, back: Child): Child {
  const { view } = details;
  return [
    back,
    h('h1', { class: 'request' }, h('code', {}, `${view.method} ${view.path}`)),
    problemBlock(details),
    about(details),
    timing(details.spans, details.attempts),
    message('Request', details, details.requestBytes, details.requestHeaders, details.requestBody),
    message('Response', details, details.responseBytes, details.responseHeaders, details.responseBody),
    resendSection(details, canResend),
  ];
}

/** Why Wakala responded with an error. */
function problemBlock({ view, detail, outcome, clientLeft }: RequestDetails): Child {
  const left = clientLeft ? h('p', {}, 'The client disconnected before the end of the response.') : null;
  if (view.code === undefined) return left;
  const known =
    outcome === 'not_sent' ? 'The request did not reach the provider.' : 'The provider may have acted on it.';
  return [
    h(
      'div',
      { class: 'problem failing' },
      h('p', {}, h('strong', {}, `${view.code}: `), withCode(detail ?? '')),
      h('p', {}, known),
    ),
    left,
  ];
}

function about(details: RequestDetails): Child {
  const { view } = details;
  const statuses = details.attempts.map((attempt) => (attempt.status === 0 ? 'no response' : String(attempt.status)));
  return h(
    'div',
    { class: 'about' },
    facts([
      ['Status', status(view)],
      ['Time', moment(view.atMs)],
      ['Total', formatMs(view.durationMs)],
      ['Route', view.route],
      ['Token', view.use],
      ['Attempts', view.attempts === 0 ? 'none' : `${formatCount(view.attempts)} (${statuses.join(', ')})`],
      ['Token refused', details.refusals === 0 ? undefined : formatCount(details.refusals)],
      ['Client', view.client],
      ['Outcome', details.outcome],
      ['Request id', h('code', {}, view.requestId)],
    ]),
  );
}

function message(
  name: string,
  { hasHeaders }: RequestDetails,
  size: number,
  headers: RequestDetails['requestHeaders'],
  body: ShownBody,
): Child {
  const id = name.toLowerCase();
  const none = hasHeaders
    ? 'No headers.'
    : 'Headers of successful requests are kept only while the inspector is in use.';
  return h(
    'section',
    { class: 'message', 'aria-labelledby': id },
    h('h2', { id }, name, h('span', { class: 'size' }, formatBytes(size))),
    headers.length === 0 ? h('p', { class: 'why' }, none) : headerTable(name, headers),
    body.kind === 'none' ? h('p', { class: 'why' }, withCode(`Body: ${body.why}`)) : bodyText(name, body),
  );
}

function headerTable(name: string, headers: RequestDetails['requestHeaders']): Child {
  const rows = headers.map(([header, value]) => h('tr', {}, h('th', { scope: 'row' }, header), h('td', {}, value)));
  return h('table', { class: 'headers' }, h('caption', {}, `${name} headers`), h('tbody', {}, ...rows));
}

function bodyText(name: string, body: Extract<ShownBody, { kind: 'text' }>): Child {
  return [
    h('pre', { tabindex: '0', role: 'region', 'aria-label': `${name} body` }, body.text),
    body.cut > 0 ? h('p', { class: 'why' }, `${formatBytes(body.cut)} more were not kept.`) : null,
  ];
}

function resendSection({ view, curl }: RequestDetails, canResend: boolean): Child {
  if (curl === undefined) return null;
  return h(
    'section',
    { 'aria-labelledby': 'resend' },
    h('h2', { id: 'resend' }, 'Send again'),
    h('label', { for: 'curl' }, 'As a curl command for the proxy. Replace hidden values by hand.'),
    h('textarea', { id: 'curl', readonly: true, rows: '3', spellcheck: 'false' }, curl),
    h(
      'div',
      { class: 'buttons' },
      h('button', { type: 'button', class: 'js-only', 'data-copy': 'curl' }, 'Copy as curl'),
      canResend ? resendForm(view.id) : null,
    ),
  );
}

function resendForm(id: string): Child {
  return h(
    'form',
    { method: 'post', action: `/api/requests/${id}/replay`, 'data-action': 'resend' },
    h('button', { type: 'submit' }, 'Resend'),
  );
}
