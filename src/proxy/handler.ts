import type { IncomingMessage, ServerResponse } from 'node:http';
import { failureFields, ProxyError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Token } from '../tokens/token.ts';
import { type Body, expectsContinue, receiveBody } from './body.ts';
import type { Deadline, DeadlineOwner } from './deadlines.ts';
import { Delivery, type DeliveryOwner } from './delivery.ts';
import { type HeaderList, requestHeaders } from './headers.ts';
import { type Awaited, lateError } from './late.ts';
import { discardBody } from './linger.ts';
import type { LiveRoute } from './live-route.ts';
import { asProxyError, sendProblem } from './problem.ts';
import type { Target } from './target.ts';

/** Values of the `wakala-token` header. */
type TokenUse = 'cached' | 'fetched' | 'replayed' | 'not-replayed';

/** What a request waits for; its deadline means something else in each. */
type Phase = Awaited | 'refresh' | 'relay' | 'over';

/** Methods that change nothing (RFC 9110 9.2.1): their answer is of no use to a client that left. */
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

export interface ProxiedContext {
  readonly requestId: string;
  /** Path below the route's prefix, and the query, as the client sent them. */
  readonly below: Target;
  readonly log: Log;
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
  readonly #method: string;
  /** Path at the upstream, without the query. */
  readonly #path: string;
  readonly #deadline: Deadline;
  #phase: Phase = 'body';
  #body: Body = { kind: 'none' };
  #token: Token | undefined;
  #use: TokenUse = 'cached';
  #delivery: Delivery | undefined;
  #clientLeft = false;

  constructor(route: LiveRoute, req: IncomingMessage, res: ServerResponse, context: ProxiedContext) {
    this.#route = route;
    this.#req = req;
    this.#res = res;
    this.#context = context;
    this.#method = req.method ?? 'GET';
    this.#path = route.basePath + context.below.path || '/';
    this.#deadline = route.deadlines.start(this);
    route.inFlight += 1;
    res.on('close', () => this.#onClientClose());
  }

  start(): void {
    try {
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
    try {
      const request = {
        method: this.#method,
        path: this.#path + this.#context.below.query,
        callPath: this.#path,
        headers: requestHeaders(this.#req.rawHeaders, this.#route.headers, this.#route.authorization(token)),
        body: this.#body,
      };
      this.#delivery = new Delivery(this.#route, token, request, this.#res, this);
    } catch (error) {
      this.#fail(asProxyError(error));
    }
  }

  onAlive(delivery: Delivery): void {
    this.#release(delivery);
  }

  /** The provider says that the token is dead: another one, and one more attempt, if all that it takes is there. */
  onDead(delivery: Delivery): void {
    const token = this.#token;
    if (token === undefined) return;
    if (this.#use === 'replayed') {
      this.#route.tokens.refusedAgain(token, this.#method, this.#path);
      this.#release(delivery);
      return;
    }
    const next = this.#route.tokens.reject(token, this.#method, this.#path);
    this.#use = 'not-replayed';
    if (this.#clientLeft || this.#body.kind === 'stream' || !this.#route.mayReplay(this.#method)) {
      this.#release(delivery);
      return;
    }
    this.#phase = 'refresh';
    void next.then((fresh) => {
      if (this.#phase !== 'refresh') return;
      if (fresh === undefined) this.#release(delivery);
      else this.#replay(delivery, fresh);
    });
  }

  #replay(refused: Delivery, token: Token): void {
    refused.attempt.cancel();
    this.#use = 'replayed';
    this.#log('info', 'sent again with a new token');
    this.#send(token);
  }

  #release(delivery: Delivery): void {
    if (this.#clientLeft) {
      delivery.attempt.cancel();
      this.#finish();
      return;
    }
    this.#phase = 'relay';
    this.#deadline.restart();
    try {
      const { requestId, extraHeaders } = this.#context;
      delivery.release(['x-request-id', requestId, 'wakala-token', this.#use, ...extraHeaders]);
    } catch (cause) {
      delivery.attempt.cancel();
      const detail = "The provider's answer has a head that is no valid HTTP. It may have acted on the request.";
      this.#fail(new ProxyError('upstream_invalid', detail, { cause }));
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
    this.#log('warn', 'answer broke off', error);
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
    this.#clientLeft = true;
    if (this.#phase === 'answer' && !SAFE.has(this.#method) && this.#delivery?.attempt.sent === true) return;
    this.#delivery?.attempt.cancel();
    this.#finish();
  }

  #fail(error: ProxyError): void {
    if (this.#phase === 'over') return;
    this.#log(error.status === 500 ? 'error' : error.status > 500 ? 'warn' : 'info', 'request failed', error);
    this.#finish();
    if (this.#clientLeft) return;
    const { requestId, extraHeaders } = this.#context;
    const use = this.#token === undefined ? [] : ['wakala-token', this.#use];
    sendProblem(this.#res, error, requestId, [...extraHeaders, ...use]);
  }

  #finish(): void {
    if (this.#phase === 'over') return;
    this.#phase = 'over';
    this.#deadline.clear();
    this.#route.inFlight -= 1;
    if (this.#body.kind === 'stream') discardBody(this.#req);
    if (this.#clientLeft && !SAFE.has(this.#method) && this.#delivery?.attempt.sent === true) {
      this.#log('warn', 'client left; the provider had the request');
    }
  }

  #log(level: 'info' | 'warn' | 'error', message: string, error?: ProxyError): void {
    this.#context.log[level](
      {
        request_id: this.#context.requestId,
        route: this.#route.config.name,
        method: this.#method,
        path: this.#context.below.path,
        status: this.#delivery?.status,
        ...(error === undefined ? {} : failureFields(error)),
      },
      message,
    );
  }
}
