import type { IncomingMessage, ServerResponse } from 'node:http';
import { ProxyError, type Reason, type TimeoutPhase } from '../errors.ts';
import { MAY_HAVE_ACTED } from '../http/client/failures.ts';
import type { ClientRequest, Exchange, ResponseHandler } from '../http/client/http-exchange.ts';
import { resetConnection, unsentBytes } from '../http/node-internals.ts';
import type { Redaction } from '../redaction.ts';
import type { RequestLog } from '../telemetry/request-log.ts';
import type { RequestTrace } from '../telemetry/otlp.ts';
import type { AttemptRecord, TokenUse, RequestRecord } from '../telemetry/request-record.ts';
import type { Token, TokenCall } from '../tokens/token.ts';
import { type Body, expectsContinue, receiveBody } from './body.ts';
import { ClientResponse, reasonPhrase, responseForSocket, SMALL_BODY_BYTES } from './client-response.ts';
import type { Route, StatusClassification } from './route.ts';
import type { Deadline, DeadlineOwner } from './deadlines.ts';
import { type HeaderList, headerValue } from '../http/header-list.ts';
import { requestHeaders, responseHeaders, tracedHeaders } from './headers.ts';
import { discardBody } from '../http/linger.ts';
import { asProxyError, sendProblem } from '../http/problem.ts';
import { decideReplay } from './replay.ts';
import type { Target } from './target.ts';
import { tokenPathRefused } from './token-paths.ts';

/** What a request waits for. */
type State =
  /** The client's body, up to the route's `replay_limit`. A longer one is streamed, and not waited for. */
  | 'receiving'
  /** A token. Skipped where one is cached. */
  | 'acquiring'
  /** The head of the response. */
  | 'sending'
  /** The rest of a small response, or of one whose body may say that the token is dead. */
  | 'judging'
  /** Another token for the second attempt. The refused response is held. */
  | 'refreshing'
  /** The end of the response, while it goes to the client. */
  | 'relaying'
  /** The client, which has not taken all of the response yet. */
  | 'flushing'
  | 'done';

/** Methods that change nothing (RFC 9110 9.2.1). Nobody needs their outcome once the client is gone. */
const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** A request on its way through a pool of connections, or a WebSocket handshake. */
export type UpstreamExchange = Pick<Exchange, 'abort' | 'pause' | 'resume' | 'release'>;

/** Is told what becomes of a request or a WebSocket handshake. */
export interface UpstreamListener extends ResponseHandler {
  /**
   * The upstream accepted a WebSocket handshake. Nothing else is called after it.
   * @returns header lines of the client's 101 response, names and values by turns
   * @throws ProxyError if it may not be accepted
   */
  onUpgrade(rawHeaders: readonly string[]): HeaderList;
}

interface UpstreamSender {
  /** @throws ProxyError `not_sent` */
  send(request: ClientRequest, listener: UpstreamListener): UpstreamExchange;
}

export interface RequestContext {
  readonly requestId: string;
  /** Name of the client; undefined where there is no `clients` list. */
  readonly client: string | undefined;
  /** Path below the route's prefix, and the query, as the client sent them. */
  readonly rest: Target;
  /** Header lines that Wakala adds to every response. */
  readonly extraHeaders: Readonly<HeaderList>;
  /** The record of this request, for log, metrics and inspector. It is written here, and never read. */
  readonly record: RequestRecord;
  readonly requestLog: RequestLog;
  /** Undefined unless requests are traced. */
  readonly trace: RequestTrace | undefined;
  /** For a WebSocket handshake; otherwise the pool of the route sends. */
  readonly handshake?: UpstreamSender;
}

/**
 * One request to a route, from its head to the last byte of its response:
 *
 *     receiving -> acquiring -> sending -> judging -> relaying -> flushing -> done
 *                                  ^          |
 *                                  +-- refreshing (once, if the provider says that the token is dead)
 *
 * Where a token is cached and there is no body, all up to `sending` happens in one turn of the event loop. Failures,
 * deadlines and clients that leave end it in any state; the parts of this class are in the order of the states.
 *
 * A WebSocket handshake is a request without a body whose method is never replayed. Only a 101 leaves this path.
 */
export class ProxiedRequest implements UpstreamListener, DeadlineOwner {
  readonly #route: Route;
  readonly #req: IncomingMessage;
  #res: ServerResponse | undefined;
  readonly #context: RequestContext;
  readonly #record: RequestRecord;
  readonly #call: TokenCall;
  readonly #deadline: Deadline;
  #state: State = 'receiving';
  #body: Body = { kind: 'none' };
  #isClientGone = false;
  /** 1 or 2, once it is sent. */
  #attempt = 0;

  // Of the current attempt.
  #token: Token | undefined;
  /** Finds the secrets of this token, which may not be the route's current one any more. */
  #redaction: Redaction;
  #tokenUse: TokenUse | undefined;
  #exchange: UpstreamExchange | undefined;
  #attemptRecord: AttemptRecord | undefined;
  /** Whether any byte of the request may have left. */
  #hasStarted = false;
  /** Whether all of it was handed to the socket. */
  #isSent = false;
  #response: ClientResponse | undefined;
  #classification: StatusClassification = 'alive';
  /** Whether all of the response has arrived. */
  #isComplete = false;
  /** Why a refused response broke off while another token was awaited. */
  #refusalError: ProxyError | undefined;
  /** What the client had not taken at the last deadline. */
  #unsentBytes = Infinity;

  /** @param res undefined for a WebSocket handshake: it gets one if it is refused */
  constructor(route: Route, req: IncomingMessage, res: ServerResponse | undefined, context: RequestContext) {
    this.#route = route;
    this.#req = req;
    this.#res = res;
    this.#context = context;
    this.#record = context.record;
    this.#redaction = route.redaction;
    const path = route.basePath + context.rest.path || '/';
    this.#call = { client: context.client, method: req.method ?? 'GET', path, sentAtMs: 0 };
    this.#deadline = route.deadlines.start(this);
    route.stats.inFlight += 1;
  }

  // receiving

  start(): void {
    const { config } = this.#route;
    try {
      if (expectsContinue(this.#req, config.maxBodyBytes)) this.#res?.writeContinue();
      receiveBody(
        this.#req,
        config,
        this.#record,
        (body) => this.#onBody(body),
        (error) => this.#fail(error),
      );
    } catch (error) {
      this.#fail(asProxyError(error));
    }
  }

  #onBody(body: Body): void {
    if (this.#state !== 'receiving') return;
    this.#body = body;
    this.#record.receivedAt = performance.now();
    const token = this.#route.tokens.current();
    if (token === undefined) this.#acquire();
    else this.#send(token, 'cached');
  }

  // acquiring

  #acquire(): void {
    this.#state = 'acquiring';
    this.#context.trace?.waitsForToken();
    const startedAt = performance.now();
    this.#route.tokens.token().then(
      (token) => {
        if (this.#state !== 'acquiring') return;
        this.#record.tokenMs = performance.now() - startedAt;
        this.#send(token, 'fetched');
      },
      (error: unknown) => {
        if (this.#state === 'acquiring') this.#fail(asProxyError(error));
      },
    );
  }

  // sending

  /** The only place that sends. */
  #send(token: Token, use: TokenUse): void {
    const route = this.#route;
    const { rest: below, trace, handshake } = this.#context;
    this.#state = 'sending';
    this.#attempt += 1;
    this.#token = token;
    this.#setTokenUse(use);
    this.#hasStarted = false;
    this.#isSent = false;
    this.#response = undefined;
    this.#isComplete = false;
    try {
      // An issuer may have named its token endpoint while this request waited for a token.
      if (route.tokenPaths.isDiscovered(below.path)) throw tokenPathRefused();
      const authorization = route.authorization(token);
      const headers = requestHeaders(this.#req.rawHeaders, route.headers, authorization, route.tokenHeaders(token));
      this.#redaction = route.redactionOf(token);
      this.#record.redaction = this.#redaction;
      this.#attemptRecord = this.#record.onAttempt();
      this.#call.sentAtMs = this.#attemptRecord.sentAt;
      const request: ClientRequest = {
        method: this.#call.method,
        target: this.#call.path + below.query,
        headers: trace === undefined ? headers : tracedHeaders(headers, trace),
        body: this.#body,
      };
      this.#exchange = (handshake ?? route.pool).send(request, this);
    } catch (error) {
      this.#fail(asProxyError(error));
    }
  }

  onSending(): void {
    this.#hasStarted = true;
    if (this.#attemptRecord !== undefined) this.#attemptRecord.connectedAt = performance.now();
  }

  onSent(): void {
    this.#isSent = true;
  }

  onHead(status: number, reason: string, rawHeaders: string[]): void {
    this.#recordHead(status);
    const headers = responseHeaders(rawHeaders, status, this.#redaction);
    const shownReason = reasonPhrase(reason, status, this.#redaction);
    this.#response = new ClientResponse(this.#serverResponse(), status, shownReason, headers);
    this.#classification = this.#route.deadToken.classifyStatus(status);
    this.#state = 'judging';
    if (this.#classification === 'alive') this.#reportAccepted(status);
    // Held until it is complete: the body of a response that must be looked at, and a small response, which then goes
    // out in one write. Others go on after the current read, so that an invalid first read still becomes a 502.
    if (this.#classification === 'look' || (this.#classification === 'alive' && this.#response.isSmall(this.#call.method))) return;
    process.nextTick(() => {
      if (this.#state === 'judging') this.#onClassified(this.#classification === 'dead');
    });
  }

  onUpgrade(rawHeaders: readonly string[]): HeaderList {
    this.#recordHead(101);
    const headers = responseHeaders(rawHeaders, 101, this.#redaction);
    headers.push('connection', 'Upgrade', 'upgrade', 'websocket');
    headers.push('x-request-id', this.#context.requestId, ...this.#extraHeaders());
    this.#record.responseHeaders = headers;
    this.#record.status = 101;
    if (this.#token !== undefined) this.#route.tokens.served(this.#token, this.#call);
    this.#finish();
    return headers;
  }

  #recordHead(status: number): void {
    if (this.#attemptRecord === undefined) return;
    this.#attemptRecord.respondedAt = performance.now();
    this.#attemptRecord.status = status;
  }

  // judging

  onData(chunk: Buffer): void {
    const response = this.#response;
    if (response === undefined) return;
    this.#record.onResponseBytes(chunk);
    if (this.#state === 'relaying') {
      this.#deadline.restart();
      response.write(chunk);
      return;
    }
    response.hold(chunk);
    // Where the body must be looked at, a longer one is not a refusal of the token.
    if (this.#state === 'judging' && response.heldBytes > SMALL_BODY_BYTES) this.#onClassified(this.#classification === 'dead');
  }

  onEnd(): void {
    this.#isComplete = true;
    if (this.#state === 'relaying') this.#flush();
    else if (this.#state === 'judging') this.#onClassified(this.#isRefusalOfToken());
  }

  #isRefusalOfToken(): boolean {
    const response = this.#response;
    if (response === undefined || this.#classification !== 'look') return this.#classification === 'dead';
    const encoding = headerValue(response.headers, 'content-encoding');
    return this.#route.deadToken.matchesBody(response.status, response.held(), encoding);
  }

  #onClassified(isTokenDead: boolean): void {
    const token = this.#token;
    if (!isTokenDead || token === undefined) {
      if (this.#classification === 'look') this.#reportAccepted(this.#response?.status ?? 0);
      this.#relay();
      return;
    }
    this.#record.refusals += 1;
    const decision = decideReplay({
      attempt: this.#attempt,
      isBodyAvailable: this.#body.kind !== 'stream',
      isMethodAllowed: this.#context.handshake === undefined && this.#route.mayReplay(this.#call.method),
      isClientGone: this.#isClientGone,
    });
    if (this.#attempt === 1) {
      // Whatever becomes of this request, the next one needs another token.
      const next = this.#route.tokens.reject(token, this.#call);
      this.#setTokenUse('not-replayed');
      if (decision === 'replay') {
        this.#refresh(next);
        return;
      }
    } else {
      this.#route.tokens.refusedAgain(token, this.#call);
    }
    this.#relay();
  }

  /** Errors and redirects may come from something in front of the provider that does not look at the token. */
  #reportAccepted(status: number): void {
    if (status < 300 && this.#token !== undefined) this.#route.tokens.served(this.#token, this.#call);
  }

  // refreshing

  #refresh(next: Promise<Token | undefined>): void {
    this.#state = 'refreshing';
    if (!this.#isComplete) this.#exchange?.pause();
    this.#context.trace?.waitsForToken();
    const startedAt = performance.now();
    void next.then((token) => {
      if (this.#state !== 'refreshing') return;
      this.#record.tokenMs += performance.now() - startedAt;
      if (token === undefined || this.#route.tokenPaths.isDiscovered(this.#context.rest.path)) {
        this.#relayRefusal();
        return;
      }
      this.#exchange?.abort();
      this.#context.requestLog.log('info', 'request_replayed', this.#record);
      this.#send(token, 'replayed');
    });
  }

  /** There is no second attempt after all. */
  #relayRefusal(): void {
    if (this.#refusalError === undefined) this.#relay();
    else this.#fail(this.#refusalError);
  }

  // relaying

  #relay(): void {
    const response = this.#response;
    const exchange = this.#exchange;
    if (this.#isClientGone || response === undefined || exchange === undefined) {
      this.#abort();
      return;
    }
    response.headers.push('x-request-id', this.#context.requestId, ...this.#extraHeaders());
    this.#record.status = response.status;
    this.#record.responseHeaders = response.headers;
    this.#deadline.restart();
    try {
      if (this.#isComplete) {
        response.sendWhole();
        this.#awaitFlush();
      } else {
        this.#state = 'relaying';
        exchange.resume();
        response.startStreaming(exchange, () => this.#onClientProgress());
      }
    } catch (error) {
      exchange.abort();
      this.#fail(asProxyError(error));
    }
  }

  // flushing

  #flush(): void {
    this.#response?.end();
    this.#awaitFlush();
  }

  #awaitFlush(): void {
    const res = this.#serverResponse();
    if (res.writableFinished) {
      this.#finish();
      return;
    }
    this.#state = 'flushing';
    this.#deadline.restart();
    res.once('finish', () => this.#finish());
  }

  // done

  #finish(): void {
    if (this.#state === 'done') return;
    // What was refused because of its token was not applied.
    const wasSent = this.#isSent && this.#state !== 'refreshing';
    this.#state = 'done';
    this.#deadline.clear();
    const { requestLog: requestLog, trace } = this.#context;
    const { stats: activity } = this.#route;
    activity.inFlight -= 1;
    if (this.#body.kind === 'stream') discardBody(this.#req);
    if (wasSent && this.#isClientGone && !SAFE_METHODS.has(this.#call.method)) {
      requestLog.log('warn', 'client_disconnected', this.#record);
    }
    requestLog.finished(this.#record, activity);
    trace?.end();
  }

  // In any state

  /** The exchange with the upstream failed. */
  onError(error: ProxyError): void {
    if (this.#state === 'refreshing') this.#refusalError = error;
    else if (this.#state === 'relaying') this.#abortResponse(error);
    else this.#fail(error);
  }

  #abortResponse(error: ProxyError): void {
    this.#context.requestLog.failed('response_incomplete', this.#record, error);
    this.#finish();
    this.#response?.abort();
  }

  /** From `relaying` on, the deadline bounds each silence, so that a long response may take its time. */
  onDeadline(): void {
    switch (this.#state) {
      case 'receiving':
        this.#fail(new ProxyError('request_timeout', 'The request body did not arrive in time. Nothing was sent.'));
        break;
      case 'acquiring':
        this.#fail(
          new ProxyError('token_unavailable', 'No token was received in time. Nothing was sent.', {
            reason: this.#timeout('token', this.#route.config.authServer),
          }),
        );
        break;
      case 'sending':
      case 'judging':
        this.#exchange?.abort();
        this.#fail(this.#upstreamTimeout());
        break;
      case 'refreshing':
        this.#relayRefusal();
        break;
      case 'relaying':
        if (this.#response?.isWaitingForClient === true) {
          this.#onClientStalled();
          break;
        }
        this.#exchange?.abort();
        this.#abortResponse(this.#upstreamTimeout());
        break;
      case 'flushing':
        this.#onClientStalled();
        break;
      case 'done':
        break;
    }
  }

  #onClientProgress(): void {
    this.#unsentBytes = Infinity;
    this.#deadline.restart();
  }

  /** The client took nothing for as long as the deadline, unless bytes that it did not take have left Node since. */
  #onClientStalled(): void {
    const { socket } = this.#req;
    const unsent = unsentBytes(socket);
    if (unsent < this.#unsentBytes) {
      this.#unsentBytes = unsent;
      this.#deadline.restart();
      return;
    }
    this.#context.requestLog.log('info', 'response_not_read', this.#record);
    resetConnection(socket);
  }

  #upstreamTimeout(): ProxyError {
    const { upstream } = this.#route.config;
    if (!this.#hasStarted) {
      const detail = 'The provider could not be connected to in time. Nothing was sent.';
      const reason = this.#timeout('connect', upstream);
      return new ProxyError('upstream_timeout', detail, { reason, outcome: 'not_sent' });
    }
    const cause = this.#isSent
      ? 'The provider did not answer in time.'
      : 'The request was not sent completely in time.';
    const reason = this.#timeout(this.#isSent ? 'response' : 'send', upstream);
    return new ProxyError('upstream_timeout', `${cause} ${MAY_HAVE_ACTED}`, { reason });
  }

  #timeout(phase: TimeoutPhase, server: string): Reason {
    return { kind: 'timeout', phase, timeoutMs: this.#route.config.timeoutMs, host: new URL(server).host };
  }

  /**
   * The client's connection was closed or reset. No protocol takes a payment back: once it is sent completely, its
   * outcome is waited for and logged.
   */
  onClientClosed(): void {
    if (this.#state === 'done') return;
    this.#isClientGone = true;
    this.#record.clientLeft = true;
    const isWaiting = this.#state === 'sending' || this.#state === 'judging';
    if (isWaiting && this.#isSent && !SAFE_METHODS.has(this.#call.method)) return;
    this.#abort();
  }

  #abort(): void {
    this.#exchange?.abort();
    this.#finish();
  }

  /** Ends the request with a problem response, unless the client is gone. */
  #fail(error: ProxyError): void {
    if (this.#state === 'done') return;
    const { requestLog: requestLog } = this.#context;
    if (this.#context.handshake === undefined) requestLog.failed('request_failed', this.#record, error);
    else requestLog.failed('websocket_handshake_failed', this.#record, error);
    if (!this.#isClientGone) this.#record.status = error.status;
    this.#finish();
    if (!this.#isClientGone) sendProblem(this.#serverResponse(), error, this.#context.requestId, this.#extraHeaders());
  }

  #setTokenUse(use: TokenUse): void {
    this.#tokenUse = use;
    this.#record.use = use;
  }

  /** Header lines of every response, besides `x-request-id`. */
  #extraHeaders(): HeaderList {
    const { extraHeaders } = this.#context;
    return this.#tokenUse === undefined ? [...extraHeaders] : ['wakala-token', this.#tokenUse, ...extraHeaders];
  }

  #serverResponse(): ServerResponse {
    return (this.#res ??= responseForSocket(this.#req.socket, this.#req));
  }
}
