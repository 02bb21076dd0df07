import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ProxyError } from '../errors.ts';
import type { Journal } from '../telemetry/journal.ts';
import type { RequestTrace } from '../telemetry/tracing.ts';
import type { Trail } from '../telemetry/trail.ts';
import type { Token, TokenCall } from '../tokens/token.ts';
import { type Body, expectsContinue, receiveBody } from './body.ts';
import type { Deadline, DeadlineOwner } from './deadlines.ts';
import { Delivery, type DeliveryOwner } from './delivery.ts';
import { type HeaderList, requestHeaders, tracedHeaders } from './headers.ts';
import { type Awaited, lateError } from './late.ts';
import { discardBody } from './linger.ts';
import type { LiveRoute } from './live-route.ts';
import { asProxyError, sendProblem } from './problem.ts';
import type { Target } from './target.ts';
import { tokenPathRefused } from './token-paths.ts';
import { type AnswerListener, Attempt } from './upstream.ts';

/** What a request waits for; its deadline means something else in each. */
type Phase = Awaited | 'refresh' | 'relay' | 'over';

/** Methods that change nothing (RFC 9110 9.2.1): their answer is of no use to a client that left. */
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

export interface ProxiedContext {
  /** Of this request: what happens to it is noted there. */
  readonly trail: Trail;
  /** Path below the route's prefix, and the query, as the client sent them. */
  readonly below: Target;
  readonly journal: Journal;
  /** Undefined unless requests are traced. */
  readonly trace: RequestTrace | undefined;
  /** Put on the answer, whoever made it. */
  readonly extraHeaders: Readonly<HeaderList>;
}

/**
 * One request on its straight line: body -> token -> attempt -> (dead? another token -> one more attempt) -> answer.
 * Where the token is cached and there is no body, all up to the first attempt happens in the same turn.
 */
export class ProxiedRequest implements DeliveryOwner, DeadlineOwner {
  readonly #route: LiveRoute;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #context: ProxiedContext;
  readonly #trail: Trail;
  readonly #method: string;
  readonly #call: TokenCall;
  readonly #deadline: Deadline;
  #phase: Phase = 'body';
  #body: Body = { kind: 'none' };
  #token: Token | undefined;
  #delivery: Delivery | undefined;

  constructor(route: LiveRoute, req: IncomingMessage, res: ServerResponse, context: ProxiedContext) {
    this.#route = route;
    this.#req = req;
    this.#res = res;
    this.#context = context;
    this.#trail = context.trail;
    this.#method = req.method ?? 'GET';
    const path = route.basePath + context.below.path || '/';
    this.#call = { client: this.#trail.client, method: this.#method, path, sentAtMs: 0 };
    this.#deadline = route.deadlines.start(this);
    route.activity.inFlight += 1;
    res.on('close', () => this.#onClientClose());
  }

  start(): void {
    try {
      if (expectsContinue(this.#req, this.#route.config.maxBodyBytes)) this.#res.writeContinue();
      receiveBody(
        this.#req,
        this.#route.config,
        this.#trail,
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
    this.#trail.receivedAt = performance.now();
    const token = this.#route.tokens.current();
    if (token !== undefined) {
      this.#trail.use = 'cached';
      this.#send(token);
      return;
    }
    this.#phase = 'token';
    this.#context.trace?.waitsForToken();
    this.#route.tokens.token().then(
      (fetched) => {
        if (this.#phase !== 'token') return;
        this.#trail.tokenMs = performance.now() - this.#trail.receivedAt;
        this.#trail.use = 'fetched';
        this.#send(fetched);
      },
      (error: unknown) => {
        if (this.#phase === 'token') this.#fail(asProxyError(error));
      },
    );
  }

  #send(token: Token): void {
    this.#phase = 'answer';
    this.#token = token;
    try {
      if (this.#isTokenEndpoint()) throw tokenPathRefused();
      const { trace } = this.#context;
      const route = this.#route;
      const authorization = route.authorization(token);
      const headers = requestHeaders(this.#req.rawHeaders, route.headers, authorization, route.withToken(token));
      const request = {
        method: this.#method,
        path: this.#call.path + this.#context.below.query,
        headers: trace === undefined ? headers : tracedHeaders(headers, trace),
        body: this.#body,
      };
      const times = this.#trail.onAttempt();
      const send = (listener: AnswerListener) => new Attempt(listener, times).send(route.pool, request);
      this.#delivery = new Delivery(send, {
        ...{ route, token, call: this.#call, res: this.#res, owner: this, trail: this.#trail, times },
      });
    } catch (error) {
      this.#fail(asProxyError(error));
    }
  }

  /** Whether an issuer named this path as its token endpoint, perhaps while this request waited for a token. */
  #isTokenEndpoint(): boolean {
    return this.#route.tokenPaths.isFound(this.#context.below.path);
  }

  onAlive(delivery: Delivery): void {
    this.#release(delivery);
  }

  /** The provider says that the token is dead: another one, and one more attempt, if all that it takes is there. */
  onDead(delivery: Delivery): void {
    const token = this.#token;
    if (token === undefined) return;
    this.#trail.refusals += 1;
    if (this.#trail.use === 'replayed') {
      this.#route.tokens.refusedAgain(token, this.#call);
      this.#release(delivery);
      return;
    }
    const next = this.#route.tokens.reject(token, this.#call);
    this.#trail.use = 'not-replayed';
    if (this.#trail.clientLeft || this.#body.kind === 'stream' || !this.#route.mayReplay(this.#method)) {
      this.#release(delivery);
      return;
    }
    this.#phase = 'refresh';
    this.#context.trace?.waitsForToken();
    const refusedAt = performance.now();
    void next.then((fresh) => {
      if (this.#phase !== 'refresh') return;
      this.#trail.tokenMs += performance.now() - refusedAt;
      if (fresh === undefined || this.#isTokenEndpoint()) this.#release(delivery);
      else this.#replay(delivery, fresh);
    });
  }

  #replay(refused: Delivery, token: Token): void {
    refused.attempt.cancel();
    this.#trail.use = 'replayed';
    this.#context.journal.say('info', this.#trail, 'sent again with a new token');
    this.#send(token);
  }

  #release(delivery: Delivery): void {
    if (this.#trail.clientLeft) {
      delivery.attempt.cancel();
      this.#finish();
      return;
    }
    this.#phase = 'relay';
    this.#trail.status = delivery.status ?? 0;
    this.#deadline.restart();
    try {
      const { requestId, use = 'cached' } = this.#trail;
      delivery.release(['x-request-id', requestId, 'wakala-token', use, ...this.#context.extraHeaders]);
    } catch (error) {
      this.#fail(asProxyError(error));
    }
  }

  /** From the first byte on, the deadline bounds each silence, so that a long answer may take its time. */
  onProgress(): void {
    this.#deadline.restart();
  }

  onDelivered(): void {
    this.#finish();
  }

  onFailure(error: ProxyError): void {
    if (this.#phase !== 'relay') {
      this.#fail(error);
      return;
    }
    this.#context.journal.failed(this.#trail, error, 'answer broke off');
    this.#finish();
    this.#delivery?.breakOff();
  }

  onDeadline(): void {
    const delivery = this.#delivery;
    switch (this.#phase) {
      case 'body':
      case 'token':
      case 'answer': {
        const started = delivery?.attempt.started === true;
        delivery?.attempt.cancel();
        this.#fail(lateError(this.#phase, started));
        break;
      }
      case 'refresh':
        if (delivery !== undefined) this.#release(delivery);
        break;
      case 'relay':
        delivery?.attempt.cancel();
        this.onFailure(lateError('answer', true));
        break;
      case 'over':
        break;
    }
  }

  /** No protocol takes a payment back: once it is wholly sent, its outcome is waited for and logged. */
  #onClientClose(): void {
    if (this.#phase === 'over' || this.#res.writableFinished) return;
    this.#trail.clientLeft = true;
    if (this.#phase === 'answer' && !SAFE.has(this.#method) && this.#delivery?.attempt.sent === true) return;
    this.#delivery?.attempt.cancel();
    this.#finish();
  }

  #fail(error: ProxyError): void {
    if (this.#phase === 'over') return;
    const { requestId, use, clientLeft } = this.#trail;
    this.#context.journal.failed(this.#trail, error, 'request failed');
    if (!clientLeft) this.#trail.status = error.status;
    this.#finish();
    if (clientLeft) return;
    const tokenUse = use === undefined ? [] : ['wakala-token', use];
    sendProblem(this.#res, error, requestId, [...this.#context.extraHeaders, ...tokenUse]);
  }

  #finish(): void {
    if (this.#phase === 'over') return;
    this.#phase = 'over';
    this.#deadline.clear();
    const { journal, trail } = this.#context;
    const { activity } = this.#route;
    activity.inFlight -= 1;
    if (this.#body.kind === 'stream') discardBody(this.#req);
    if (trail.clientLeft && !SAFE.has(this.#method) && this.#delivery?.attempt.sent === true) {
      journal.say('warn', trail, 'client left; the provider had the request');
    }
    journal.finished(trail, activity);
    this.#context.trace?.end();
  }
}
