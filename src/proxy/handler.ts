import type { IncomingMessage, ServerResponse } from 'node:http';
import { networkCode, ProxyError } from '../errors.ts';
import type { Log, LogFields } from '../log.ts';
import type { Token } from '../tokens/token.ts';
import { type Body, receiveBody } from './body.ts';
import { ClientAnswer, SMALL_BODY } from './client-answer.ts';
import type { StatusVerdict } from './dead-token.ts';
import { answerHeaders, headerOf, refuseNominatedFraming, requestHeaders } from './headers.ts';
import type { LiveRoute } from './live-route.ts';
import { asProxyError, sendProblem } from './problem.ts';
import type { Target } from './target.ts';
import { type AnswerListener, Attempt } from './upstream.ts';

/** Values of the `wakala-token` header. */
type TokenUse = 'cached' | 'fetched' | 'replayed' | 'not-replayed';

/** What a request waits for; its deadline means something else in each. */
type Phase = 'body' | 'token' | 'answer' | 'refresh' | 'relay' | 'over';

/** Methods that change nothing (RFC 9110 9.2.1): their answer is of no use to a client that left. */
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

export interface ProxiedContext {
  readonly requestId: string;
  /** Path below the route's prefix, and the query, as the client sent them. */
  readonly below: Target;
  readonly log: Log;
}

/**
 * One request on its straight line: body -> token -> attempt -> (dead? another token -> one more attempt) -> answer.
 * Where the token is cached and there is no body, all up to the first attempt happens in the same turn.
 */
export class ProxiedRequest implements AnswerListener {
  readonly #route: LiveRoute;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #context: ProxiedContext;
  readonly #method: string;
  readonly #path: string;
  readonly #deadline: NodeJS.Timeout;
  #phase: Phase = 'body';
  #body: Body = { kind: 'none' };
  #token: Token | undefined;
  #use: TokenUse = 'cached';
  #attempt: Attempt | undefined;
  #answer: ClientAnswer | undefined;
  #verdict: StatusVerdict = 'alive';
  /** The held answer is in: nothing of it is still to come. */
  #complete = false;
  #clientLeft = false;

  constructor(route: LiveRoute, req: IncomingMessage, res: ServerResponse, context: ProxiedContext) {
    this.#route = route;
    this.#req = req;
    this.#res = res;
    this.#context = context;
    this.#method = req.method ?? 'GET';
    this.#path = route.basePath + context.below.path;
    this.#deadline = setTimeout(() => this.#onDeadline(), route.config.timeoutMs);
    route.inFlight += 1;
    res.on('close', () => this.#onClientClose());
  }

  start(): void {
    try {
      refuseNominatedFraming(this.#req.rawHeaders);
      if (expectsContinue(this.#req, this.#route.config.maxBodyBytes)) this.#res.writeContinue();
      receiveBody(
        this.#req,
        this.#route.config,
        (body) => this.#onBody(body),
        (error) => this.#fail(error),
      );
    } catch (error) {
      this.#fail(asProxyError(error));
    }
  }

  #onBody(body: Body): void {
    if (this.#phase !== 'body') return;
    this.#body = body;
    const token = this.#route.tokens.current();
    if (token !== undefined) {
      this.#send(token);
      return;
    }
    this.#phase = 'token';
    this.#use = 'fetched';
    this.#route.tokens.token().then(
      (fetched) => {
        if (this.#phase === 'token') this.#send(fetched);
      },
      (error: unknown) => {
        if (this.#phase === 'token') this.#fail(asProxyError(error));
      },
    );
  }

  #send(token: Token): void {
    this.#phase = 'answer';
    this.#token = token;
    this.#complete = false;
    this.#answer = undefined;
    try {
      this.#attempt = Attempt.send(
        this.#route.pool,
        {
          method: this.#method,
          path: (this.#path || '/') + this.#context.below.query,
          headers: requestHeaders(this.#req.rawHeaders, this.#route.headers, this.#route.authorization(token)),
          body: this.#body,
        },
        this,
      );
    } catch (error) {
      this.#fail(asProxyError(error));
    }
  }

  onHead(status: number, reason: string, rawHeaders: readonly Buffer[]): void {
    const token = this.#token;
    const attempt = this.#attempt;
    if (token === undefined || attempt === undefined) return;
    const headers = answerHeaders(rawHeaders, status, token.accessToken.reveal());
    this.#answer = new ClientAnswer(this.#res, attempt, status, reason, headers);
    this.#verdict = this.#route.deadToken.status(status);
    if (status < 400) this.#route.tokens.served(token, this.#method, this.#path);
    if (this.#verdict === 'alive' && !isSmall(headers, status, this.#method)) this.#startRelay(this.#answer);
  }

  onChunk(chunk: Buffer): void {
    const answer = this.#answer;
    if (answer === undefined || this.#clientLeft) return;
    if (this.#phase === 'relay') {
      this.#deadline.refresh();
      answer.relay(chunk);
      return;
    }
    answer.hold(chunk);
    if (answer.heldBytes <= SMALL_BODY || this.#phase === 'refresh') return;
    // Too long to hold: a body that would have to be looked at is none that a dead token gets.
    if (this.#verdict === 'dead') this.#onDead(answer);
    else this.#startRelay(answer);
  }

  onEnd(): void {
    const answer = this.#answer;
    if (answer === undefined) return;
    this.#complete = true;
    if (this.#phase === 'relay') {
      if (!this.#clientLeft) answer.end();
      this.#finish();
    } else if (this.#phase === 'answer') {
      if (this.#isDead(answer)) this.#onDead(answer);
      else this.#release(answer);
    }
  }

  onFailure(error: ProxyError): void {
    if (this.#phase === 'relay') {
      this.#log('warn', 'answer broke off', error);
      this.#finish();
      this.#answer?.breakOff();
    } else {
      this.#fail(error);
    }
  }

  #isDead(answer: ClientAnswer): boolean {
    if (this.#verdict !== 'look') return this.#verdict === 'dead';
    return this.#route.deadToken.body(answer.status, answer.held(), headerOf(answer.headers, 'content-encoding'));
  }

  /** The provider says that the token is dead: another one, and one more attempt, if all that allows it is given. */
  #onDead(answer: ClientAnswer): void {
    const token = this.#token;
    if (token === undefined) return;
    if (this.#use === 'replayed') {
      this.#route.tokens.refusedAgain(token, this.#method, this.#path);
      this.#release(answer);
      return;
    }
    const next = this.#route.tokens.reject(token, this.#method, this.#path);
    this.#use = 'not-replayed';
    if (this.#clientLeft || this.#body.kind === 'stream' || !this.#route.mayReplay(this.#method)) {
      this.#release(answer);
      return;
    }
    this.#phase = 'refresh';
    if (!this.#complete) this.#attempt?.pause();
    void next.then((fresh) => {
      if (this.#phase !== 'refresh') return;
      if (fresh === undefined) this.#release(answer);
      else this.#replay(fresh);
    });
  }

  #replay(token: Token): void {
    this.#attempt?.cancel();
    this.#use = 'replayed';
    this.#log('info', 'sent again with a new token');
    this.#send(token);
  }

  /** Gives the client the answer that was held. */
  #release(answer: ClientAnswer): void {
    if (!this.#complete) {
      this.#startRelay(answer);
      this.#attempt?.resume();
      return;
    }
    if (!this.#clientLeft) this.#write(answer, () => answer.sendWhole());
    this.#finish();
  }

  #startRelay(answer: ClientAnswer): void {
    this.#phase = 'relay';
    this.#deadline.refresh();
    if (!this.#clientLeft) this.#write(answer, () => answer.startStreaming());
  }

  /** Node refuses a head with control characters in it: the provider's answer is no valid HTTP then. */
  #write(answer: ClientAnswer, write: () => void): void {
    answer.headers.push('x-request-id', this.#context.requestId, 'wakala-token', this.#use);
    try {
      write();
    } catch (cause) {
      this.#attempt?.cancel();
      this.#fail(
        new ProxyError('upstream_invalid', "The provider's answer has a head that is no valid HTTP.", { cause }),
      );
    }
  }

  #onDeadline(): void {
    switch (this.#phase) {
      case 'body':
        this.#fail(new ProxyError('request_timeout', 'The request body did not arrive in time. Nothing was sent.'));
        break;
      case 'token':
        this.#fail(new ProxyError('token_unavailable', 'No token could be had in time. Nothing was sent.'));
        break;
      case 'answer':
        this.#onAnswerTimeout();
        break;
      case 'refresh':
        if (this.#answer !== undefined) this.#release(this.#answer);
        break;
      case 'relay':
        this.#attempt?.cancel();
        this.onFailure(new ProxyError('upstream_timeout', 'The answer stopped coming.'));
        break;
      case 'over':
        break;
    }
  }

  #onAnswerTimeout(): void {
    const started = this.#attempt?.started === true;
    this.#attempt?.cancel();
    this.#fail(
      new ProxyError(
        'upstream_timeout',
        started
          ? 'The provider did not answer in time. It may have acted on the request: ask it for the outcome before you ' +
              'send this again.'
          : 'The provider could not be connected to in time. Nothing was sent.',
        { outcome: started ? 'unknown' : 'not_sent' },
      ),
    );
  }

  /** RFC 9110 has no way to take a payment back: once it is wholly sent, its outcome is waited for and logged. */
  #onClientClose(): void {
    if (this.#phase === 'over' || this.#res.writableFinished) return;
    this.#clientLeft = true;
    if (this.#phase === 'answer' && !SAFE.has(this.#method) && this.#attempt?.sent === true) return;
    this.#attempt?.cancel();
    this.#finish();
  }

  #fail(error: ProxyError): void {
    if (this.#phase === 'over') return;
    this.#log(error.status >= 500 ? 'warn' : 'info', 'request failed', error);
    this.#finish();
    if (this.#clientLeft) return;
    const use = this.#token === undefined ? {} : { 'wakala-token': this.#use };
    sendProblem(this.#res, error, this.#context.requestId, use);
  }

  #finish(): void {
    if (this.#phase === 'over') return;
    this.#phase = 'over';
    clearTimeout(this.#deadline);
    this.#route.inFlight -= 1;
    if (this.#clientLeft && this.#attempt?.sent === true)
      this.#log('warn', 'client left; the provider had the request');
  }

  #log(level: 'info' | 'warn', message: string, error?: ProxyError): void {
    this.#context.log[level](
      {
        request_id: this.#context.requestId,
        route: this.#route.config.name,
        method: this.#method,
        path: this.#context.below.path,
        ...(this.#answer === undefined ? {} : { status: this.#answer.status }),
        ...(error === undefined ? {} : failureFields(error)),
      },
      message,
    );
  }
}

function failureFields(error: ProxyError): LogFields {
  const fields = { code: error.code, outcome: error.outcome, error: error.message };
  return error.cause === undefined ? fields : { ...fields, cause: networkCode(error.cause) };
}

/** `Expect: 100-continue` (RFC 9110 10.1.1) is answered here, once it is clear that the body is wanted. */
function expectsContinue(req: IncomingMessage, maxBodyBytes: number): boolean {
  if (req.headers.expect === undefined || req.httpVersion !== '1.1') return false;
  return Number(req.headers['content-length'] ?? 0) <= maxBodyBytes;
}

/** True if an answer's whole body is sure to be small, so that it can go out in one write. */
function isSmall(headers: readonly string[], status: number, method: string): boolean {
  if (method === 'HEAD' || status === 204 || status === 304) return true;
  const length = headerOf(headers, 'content-length');
  return length !== undefined && Number(length) <= SMALL_BODY;
}
