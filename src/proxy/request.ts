import type { IncomingMessage, ServerResponse } from 'node:http';
import { type ContentProblem, ProxyError } from '../errors.ts';
import { BodyReader } from '../http/body-reader.ts';
import {
  type ClientRequest,
  type Exchange,
  type RequestBody,
  type ResponseHandler,
  SAFE_METHODS,
} from '../http/client/http-exchange.ts';
import { type HeaderList, headerValue } from '../http/header-list.ts';
import { discardBody } from '../http/linger.ts';
import { resetConnection, unsentBytes } from '../http/node-internals.ts';
import { asProxyError, sendProblem } from '../http/problem.ts';
import { RequestRedaction, type SecretSearch } from '../redaction.ts';
import type { RequestTrace } from '../telemetry/otlp.ts';
import type { RequestLog } from '../telemetry/request-log.ts';
import { type AttemptRecord, type RequestRecord, TOKEN_USES, type TokenUse } from '../telemetry/request-record.ts';
import type { Token, TokenCall } from '../tokens/token.ts';
import { expectsContinue, receiveBody } from './body.ts';
import { ClientResponse, reasonPhrase, responseForSocket, SMALL_BODY_BYTES } from './client-response.ts';
import type { Deadline, DeadlineOwner } from './deadlines.ts';
import { requestHeaders, responseHeaders, tracedHeaders } from './headers.ts';
import { decideReplay, type StatusClassification, unsentReplay } from './replay.ts';
import type { Route } from './route.ts';
import type { CallSigning, SignedRequest } from './signing.ts';
import type { Target } from './target.ts';
import {
  clientBodyTimeout,
  signingTimeout,
  tokenTimeout,
  type UpstreamProgress,
  upstreamTimeout,
} from './timeout-errors.ts';
import { tokenPathRefused } from './token-paths.ts';

/** What a request is waiting for. */
type State =
  /** The client's body, up to `replay_limit`. A longer body is streamed and not waited for. */
  | 'receiving'
  /** A token. Skipped if one is cached. */
  | 'acquiring'
  /** The signature and other values that are computed for an attempt. Skipped if the call needs none. */
  | 'signing'
  /** The head of the response. */
  | 'sending'
  /** The rest of a response that is held: it is small, or its body may say that the token is dead. */
  | 'classifying'
  /** Another token for the second attempt. The refused response is held. */
  | 'refreshing'
  /** The end of the response, while it is streamed to the client. */
  | 'relaying'
  /** The client, to read the rest of the response. */
  | 'flushing'
  | 'done';

/** A request in flight on a connection pool, or a WebSocket handshake. */
export type UpstreamExchange = Pick<Exchange, 'abort' | 'pause' | 'resume' | 'release'>;

/** Callbacks for a request or a WebSocket handshake. */
export interface UpstreamListener extends ResponseHandler {
  /**
   * The upstream accepted a WebSocket handshake. No other callback follows.
   * @returns the headers of the 101 response to the client
   * @throws ProxyError if the response is invalid
   */
  onUpgrade(rawHeaders: readonly string[]): HeaderList;
}

interface UpstreamSender {
  /** @throws ProxyError `not_sent` */
  send(request: ClientRequest, listener: UpstreamListener): UpstreamExchange;
}

export interface RequestContext {
  readonly requestId: string;
  /** Name of the client. Undefined if there is no `clients` list. */
  readonly client: string | undefined;
  /** Path without the route's prefix, and query, as the client sent them. */
  readonly target: Target;
  /** Headers that Wakala adds to every response. */
  readonly extraHeaders: Readonly<HeaderList>;
  /** The record of this request for the log, metrics, traces and the inspector. It is only written here, never read. */
  readonly record: RequestRecord;
  readonly requestLog: RequestLog;
  /** Undefined if the request is not traced. */
  readonly trace: RequestTrace | undefined;
  /** Sends a WebSocket handshake. Undefined for other requests, which the route's pool sends. */
  readonly handshake?: UpstreamSender;
}

/**
 * One request to a route as a state machine, from its head to the last byte of the response:
 *
 *     receiving -> acquiring -> signing -> sending -> classifying -> relaying -> flushing -> done
 *                                  ^                       |
 *                                  +------------------ refreshing (at most once, if the provider says that the token
 *                                                                  is dead)
 *
 * With a cached token, no body and nothing to sign, everything up to `sending` happens synchronously. An error, the deadline or a
 * disconnect of the client can end the request in any state. The methods are in the order of the states.
 *
 * A WebSocket handshake is a request without a body that is never replayed. After a 101 the request is done.
 */
export class ProxiedRequest implements UpstreamListener, DeadlineOwner {
  readonly #route: Route;
  readonly #req: IncomingMessage;
  #res: ServerResponse | undefined;
  readonly #context: RequestContext;
  readonly #record: RequestRecord;
  readonly #call: TokenCall;
  readonly #deadline: Deadline;
  /** Undefined if nothing is computed for this call. */
  readonly #signing: CallSigning | undefined;
  #state: State = 'receiving';
  #body: RequestBody = { kind: 'none' };
  #isClientGone = false;
  /** Number of the current attempt: 1 or 2, and 0 before the first. */
  #attempt = 0;
  /** Status of the first attempt, if the provider refused its token. */
  #refusedStatus = 0;

  // The current attempt
  #token: Token | undefined;
  /** Finds the secrets of this attempt. The route may have a newer token by now. */
  #redaction: SecretSearch;
  #tokenUse: TokenUse | undefined;
  /** `wakala-token` of an upstream that is a Wakala. It takes precedence: that Wakala has the provider's token. */
  #upstreamTokenUse: TokenUse | undefined;
  /** Whether values are being computed, which nothing can interrupt. */
  #isSigning = false;
  #exchange: UpstreamExchange | undefined;
  #attemptRecord: AttemptRecord | undefined;
  /** Whether any byte of the request may have been sent. */
  #mayBeSent = false;
  /** Whether the complete request was written to the socket. */
  #isFullySent = false;
  #response: ClientResponse | undefined;
  #classification: StatusClassification = 'alive';
  /** Whether the complete response has arrived. */
  #isComplete = false;
  /**
   * Set if the first response breaks while the next token is fetched. The client gets this error if there is no second
   * attempt.
   */
  #refusalError: ProxyError | undefined;
  /** Bytes still unsent to the client at the last deadline. */
  #unsentBytes = Infinity;

  /** @param res undefined for a WebSocket handshake; it is created if the handshake is refused */
  constructor(route: Route, req: IncomingMessage, res: ServerResponse | undefined, context: RequestContext) {
    this.#route = route;
    this.#req = req;
    this.#res = res;
    this.#context = context;
    this.#record = context.record;
    this.#redaction = route.redaction;
    const path = route.basePath + context.target.path || '/';
    this.#call = { client: context.client, method: req.method ?? 'GET', path, sentAtMs: 0 };
    this.#signing = route.signing?.for(this.#call.method, path);
    this.#deadline = route.deadlines.start(this);
    route.stats.inFlight += 1;
  }

  // receiving

  start(): void {
    const { config } = this.#route;
    const mustHold = this.#signing?.needsBody === true;
    try {
      if (expectsContinue(this.#req, mustHold ? config.replayLimitBytes : config.maxBodyBytes)) {
        this.#res?.writeContinue();
      }
      receiveBody(
        this.#req,
        config,
        this.#record,
        (body) => this.#onBody(body),
        (error) => this.#fail(error),
        mustHold,
      );
    } catch (error) {
      this.#fail(asProxyError(error));
    }
  }

  #onBody(body: RequestBody): void {
    if (this.#state !== 'receiving') return;
    this.#body = body;
    this.#record.receivedAt = performance.now();
    const token = this.#route.tokens.current();
    if (token === undefined) this.#acquire();
    else this.#begin(token, 'cached');
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
        this.#begin(token, 'fetched');
      },
      (error: unknown) => {
        if (this.#state === 'acquiring') this.#fail(asProxyError(error));
      },
    );
  }

  /** Begins an attempt. Both attempts use this. */
  #begin(token: Token, use: TokenUse): void {
    const route = this.#route;
    const { target, trace } = this.#context;
    this.#attempt += 1;
    this.#token = token;
    this.#setTokenUse(use);
    this.#mayBeSent = false;
    this.#isFullySent = false;
    this.#response = undefined;
    this.#isComplete = false;
    try {
      // Discovery may have found a token endpoint on this route while the request was waiting for a token.
      if (route.tokenPaths.isDiscovered(target.path)) throw tokenPathRefused();
      const authorization = route.authorization(token);
      const headers = requestHeaders(this.#req.rawHeaders, route.headers, authorization, route.tokenHeaders(token));
      const request: ClientRequest = {
        method: this.#call.method,
        target: this.#call.path + route.query(token, target.query),
        headers: trace === undefined ? headers : tracedHeaders(headers, trace),
        body: this.#body,
      };
      if (this.#signing === undefined) this.#send(request, route.redactionOf(token));
      else this.#sign(request, token, this.#signing);
    } catch (error) {
      this.#fail(notSent(asProxyError(error)));
    }
  }

  // signing

  #sign(request: ClientRequest, token: Token, signing: CallSigning): void {
    this.#state = 'signing';
    this.#isSigning = true;
    this.#record.signingAt = performance.now();
    const redaction = this.#route.redactionOf(token);
    signing.sign(request, token).then(
      (signed) => this.#onSigned(signed, redaction),
      (error: unknown) => this.#onSigned(notSent(asProxyError(error)), redaction),
    );
  }

  #onSigned(signed: SignedRequest | ProxyError, redaction: SecretSearch): void {
    this.#isSigning = false;
    if (this.#state === 'done') this.#route.stats.inFlight -= 1;
    if (this.#state !== 'signing') return;
    if (signed instanceof ProxyError) this.#fail(signed);
    else this.#send(signed.request, new RequestRedaction(redaction, signed.secrets));
  }

  // sending

  #send(request: ClientRequest, redaction: SecretSearch): void {
    this.#state = 'sending';
    this.#redaction = redaction;
    this.#record.redaction = redaction;
    const sentAtMs = performance.now();
    this.#call.sentAtMs = sentAtMs;
    this.#attemptRecord = this.#record.onAttempt(sentAtMs);
    try {
      this.#exchange = (this.#context.handshake ?? this.#route.pool).send(request, this);
    } catch (error) {
      this.#fail(asProxyError(error));
    }
  }

  onSending(): void {
    this.#mayBeSent = true;
    if (this.#attemptRecord !== undefined) this.#attemptRecord.connectedAt = performance.now();
  }

  onSent(): void {
    this.#isFullySent = true;
  }

  onHead(status: number, reason: string, rawHeaders: string[]): void {
    this.#recordHead(status);
    const { locations } = this.#route;
    const references = locations && { locations, req: this.#req };
    const headers = responseHeaders(rawHeaders, status, this.#redaction, references);
    this.#readTokenUse(rawHeaders);
    const phrase = reasonPhrase(reason, status, this.#redaction);
    this.#response = new ClientResponse(this.#serverResponse(), status, phrase, headers);
    this.#classification = this.#route.deadToken.classifyStatus(status);
    this.#state = 'classifying';
    if (this.#classification === 'alive') this.#reportAccepted(status);
    // Hold the response until it is complete if its body decides, or if it is small enough for a single write.
    if (this.#classification === 'depends_on_body') return;
    if (this.#classification === 'alive' && this.#response.isSmall(this.#call.method)) return;
    // Otherwise continue after the current read: if that turns out to be invalid, a 502 can still be sent.
    process.nextTick(() => {
      if (this.#state === 'classifying') this.#onClassified(this.#classification === 'dead');
    });
  }

  onUpgrade(rawHeaders: readonly string[]): HeaderList {
    this.#recordHead(101);
    const headers = responseHeaders(rawHeaders, 101, this.#redaction);
    this.#readTokenUse(rawHeaders);
    headers.push('connection', 'Upgrade', 'upgrade', 'websocket');
    headers.push('x-request-id', this.#context.requestId, ...this.#extraHeaders(this.#upstreamTokenUse));
    this.#record.responseHeaders = headers;
    this.#record.status = 101;
    if (this.#token !== undefined) this.#route.tokens.accepted(this.#token, this.#call);
    this.#finish();
    return headers;
  }

  /** Only for a fixed key: no other route can have a Wakala as its upstream. */
  #readTokenUse(rawHeaders: readonly string[]): void {
    if (!this.#route.hasFixedToken) return;
    const value = headerValue(rawHeaders, 'wakala-token');
    this.#upstreamTokenUse = TOKEN_USES.find((use) => use === value);
  }

  #recordHead(status: number): void {
    if (this.#attemptRecord === undefined) return;
    this.#attemptRecord.respondedAt = performance.now();
    this.#attemptRecord.status = status;
  }

  // classifying

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
    // A body too long to be held does not match any dead-token rule.
    if (this.#state === 'classifying' && response.heldBytes > SMALL_BODY_BYTES) {
      if (this.#classification === 'depends_on_body' && response.status >= 300) this.#warnOfUninspected('too_long');
      this.#onClassified(this.#classification === 'dead');
    }
  }

  onEnd(): void {
    this.#isComplete = true;
    if (this.#state === 'relaying') this.#flush();
    else if (this.#state === 'classifying') this.#onClassified(this.#isTokenDead());
  }

  /** Whether the complete response says that the token is dead. */
  #isTokenDead(): boolean {
    const response = this.#response;
    if (response === undefined || this.#classification !== 'depends_on_body') return this.#classification === 'dead';
    const result = this.#route.deadToken.inspectBody(response.status, response.held(), response.headers);
    if (typeof result === 'boolean') return result;
    this.#warnOfUninspected(result.kind, result.coding);
    return false;
  }

  /** Warns that a response could not be checked for a dead token, so that such a token would stay in use. */
  #warnOfUninspected(problem: ContentProblem['kind'], coding?: string): void {
    if (!this.#route.deadToken.shouldWarn(problem, Date.now())) return;
    const { requestLog } = this.#context;
    requestLog.log('warn', 'response_not_inspected', this.#record, {
      problem,
      ...(coding !== undefined && { coding }),
    });
  }

  #onClassified(isTokenDead: boolean): void {
    const token = this.#token;
    if (!isTokenDead || token === undefined) {
      if (this.#classification === 'depends_on_body') this.#reportAccepted(this.#response?.status ?? 0);
      this.#relay();
      return;
    }
    this.#record.refusals += 1;
    const decision = decideReplay({
      attempt: this.#attempt,
      method: this.#call.method,
      policy: this.#route.config.replay,
      isHandshake: this.#context.handshake !== undefined,
      body: this.#body.kind,
      isClientGone: this.#isClientGone,
    });
    if (this.#attempt === 1) {
      // Even if this request is not replayed, the next one needs another token.
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

  /** Only 2xx counts: errors and redirects may come from a gateway that does not check the token. */
  #reportAccepted(status: number): void {
    if (status < 300 && this.#token !== undefined) this.#route.tokens.accepted(this.#token, this.#call);
  }

  // refreshing

  #refresh(next: Promise<Token | undefined>): void {
    this.#state = 'refreshing';
    this.#refusedStatus = this.#response?.status ?? 0;
    if (!this.#isComplete) this.#exchange?.pause();
    this.#context.trace?.waitsForToken();
    const startedAt = performance.now();
    void next.then((token) => {
      if (this.#state !== 'refreshing') return;
      this.#record.tokenMs += performance.now() - startedAt;
      if (token === undefined || this.#route.tokenPaths.isDiscovered(this.#context.target.path)) {
        this.#relayRefusal();
        return;
      }
      this.#exchange?.abort();
      this.#context.requestLog.log('info', 'request_replayed', this.#record);
      this.#begin(token, 'replayed');
    });
  }

  /** Relays the refused response because no second attempt is possible. */
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
    response.headers.push('x-request-id', this.#context.requestId, ...this.#extraHeaders(this.#upstreamTokenUse));
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
    // While refreshing, only a refused attempt was sent, so nothing was applied.
    const wasSent = this.#isFullySent && this.#state !== 'refreshing';
    this.#state = 'done';
    this.#deadline.clear();
    const { requestLog, trace } = this.#context;
    const { stats } = this.#route;
    // The work of a signature goes on. It counts towards `max_concurrency`, which bounds this work.
    if (!this.#isSigning) stats.inFlight -= 1;
    if (this.#body.kind === 'stream') discardBody(this.#req);
    if (wasSent && this.#isClientGone && !SAFE_METHODS.has(this.#call.method)) {
      requestLog.log('warn', 'client_disconnected', this.#record);
    }
    requestLog.finished(this.#record, stats);
    trace?.end();
  }

  // Any state

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

  /** From `relaying` on, the deadline limits each period without progress, not the whole response. */
  onDeadline(): void {
    const { config } = this.#route;
    switch (this.#state) {
      case 'receiving':
        this.#fail(clientBodyTimeout(config));
        break;
      case 'acquiring':
        this.#fail(tokenTimeout(config));
        break;
      case 'signing':
        this.#fail(signingTimeout(config));
        break;
      case 'sending':
      case 'classifying':
        this.#exchange?.abort();
        this.#fail(upstreamTimeout(config, this.#upstreamProgress()));
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
        this.#abortResponse(upstreamTimeout(config, this.#upstreamProgress()));
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

  /** Resets the connection, unless the socket sent some bytes to the client since the last deadline. */
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

  #upstreamProgress(): UpstreamProgress {
    if (!this.#mayBeSent) return 'connecting';
    if (this.#state === 'sending' && BodyReader.find(this.#req)?.isWaitingForClient === true) return 'sending_upload';
    return this.#isFullySent ? 'sent' : 'sending';
  }

  /**
   * The client's connection was closed or reset. An unsafe request that was fully sent is not aborted: it cannot be taken
   * back, so its outcome is awaited and logged.
   */
  onClientClosed(): void {
    if (this.#state === 'done') return;
    this.#isClientGone = true;
    this.#record.clientLeft = true;
    const isAwaitingResponse = this.#state === 'sending' || this.#state === 'classifying';
    if (isAwaitingResponse && this.#isFullySent && !SAFE_METHODS.has(this.#call.method)) return;
    this.#abort();
  }

  #abort(): void {
    this.#exchange?.abort();
    this.#finish();
  }

  /** Ends the request with a problem response, unless the client is gone. */
  #fail(failure: ProxyError): void {
    if (this.#state === 'done') return;
    const isUnsentReplay = this.#attempt === 2 && failure.outcome === 'not_sent';
    const error = isUnsentReplay ? unsentReplay(failure, this.#refusedStatus) : failure;
    const { requestLog } = this.#context;
    if (this.#context.handshake === undefined) requestLog.failed('request_failed', this.#record, error);
    else requestLog.failed('websocket_handshake_failed', this.#record, error);
    if (!this.#isClientGone) this.#record.status = error.status;
    this.#finish();
    if (!this.#isClientGone) sendProblem(this.#serverResponse(), error, this.#context.requestId, this.#extraHeaders());
  }

  #setTokenUse(use: TokenUse): void {
    if (!this.#route.hasToken) return;
    this.#tokenUse = use;
    this.#record.use = use;
  }

  /** Headers that Wakala adds to every response, besides `x-request-id`. */
  #extraHeaders(use = this.#tokenUse): HeaderList {
    const { extraHeaders } = this.#context;
    return use === undefined ? [...extraHeaders] : ['wakala-token', use, ...extraHeaders];
  }

  #serverResponse(): ServerResponse {
    return (this.#res ??= responseForSocket(this.#req.socket, this.#req));
  }
}

/** An error before anything was sent. */
function notSent(error: ProxyError): ProxyError {
  const { code, message, reason, cause, outcome, retryAfterS } = error;
  return outcome === 'not_sent'
    ? error
    : new ProxyError(code, message, { reason, cause, outcome: 'not_sent', retryAfterS });
}
