import type { ServerResponse } from 'node:http';
import { ProxyError } from '../errors.ts';
import type { Redaction } from '../redaction.ts';
import type { AttemptTrail, Trail } from '../telemetry/trail.ts';
import type { Token, TokenCall } from '../tokens/token.ts';
import { ClientAnswer, isSmallBody, reasonOf, SMALL_BODY } from './client-answer.ts';
import type { StatusVerdict } from './dead-token.ts';
import { answerHeaders, type HeaderList, headerOf } from './headers.ts';
import type { LiveRoute } from './live-route.ts';
import type { AnswerListener } from './upstream.ts';

/** Who decides what becomes of an answer. Of the first two exactly one is called, once, unless it fails before. */
export interface DeliveryOwner {
  /** The token was good, as far as one can tell: the answer may go out. */
  onAlive(delivery: Delivery): void;
  /** The provider says that the token is dead. Nothing more comes until the answer is released. */
  onDead(delivery: Delivery): void;
  /** More of a released answer went out. */
  onProgress(): void;
  /** All of a released answer went out. */
  onDelivered(): void;
  onFailure(error: ProxyError): void;
}

/** Where an answer comes from. */
export interface UpstreamSource {
  /** Whether any byte of the request may have left. */
  readonly started: boolean;
  /** Whether the whole request was handed to the network. */
  readonly sent: boolean;
  /** Stops it; nothing more is told to the listener. */
  cancel(): void;
  pause(): void;
  resume(): void;
}

/** The request that an answer is to, and who gets it. */
export interface DeliveryContext {
  readonly route: LiveRoute;
  readonly token: Token;
  readonly call: TokenCall;
  readonly res: ServerResponse;
  readonly owner: DeliveryOwner;
  readonly trail: Trail;
  readonly times: AttemptTrail;
}

/** One attempt and its answer: held until it is clear what the answer says of the token, then relayed as it comes. */
export class Delivery implements AnswerListener {
  readonly attempt: UpstreamSource;
  readonly #route: LiveRoute;
  readonly #call: TokenCall;
  readonly #token: Token;
  readonly #redaction: Redaction;
  readonly #res: ServerResponse;
  readonly #owner: DeliveryOwner;
  readonly #trail: Trail;
  readonly #times: AttemptTrail;
  #answer: ClientAnswer | undefined;
  #verdict: StatusVerdict = 'alive';
  #complete = false;
  #state: 'held' | 'judged' | 'released' = 'held';

  /** @param send sends the request, and tells the listener what comes back */
  constructor(send: (listener: AnswerListener) => UpstreamSource, context: DeliveryContext) {
    const { route, token, call, res, owner, trail, times } = context;
    this.#route = route;
    this.#token = token;
    this.#redaction = route.redactionOf(token);
    this.#call = call;
    this.#res = res;
    this.#owner = owner;
    this.#trail = trail;
    trail.redaction = this.#redaction;
    this.#times = times;
    call.sentAtMs = times.sentAt;
    this.attempt = send(this);
  }

  /** Status of the answer, once its head is in. */
  get status(): number | undefined {
    return this.#answer?.status;
  }

  onHead(status: number, reason: string, rawHeaders: readonly string[]): void {
    this.#times.answeredAt = performance.now();
    this.#times.status = status;
    // What it throws, undici hands to `onFailure` by way of the attempt.
    const headers = answerHeaders(rawHeaders, status, this.#redaction);
    const shownReason = reasonOf(reason, status, this.#redaction);
    this.#answer = new ClientAnswer(this.#res, this.attempt, status, shownReason, headers);
    this.#verdict = this.#route.deadToken.status(status);
    if (this.#verdict === 'alive') {
      this.#noteAccepted(status);
      if (!isSmallBody(headers, status, this.#call.method)) this.#judge(false);
    }
  }

  onChunk(chunk: Buffer): void {
    const answer = this.#answer;
    if (answer === undefined) return;
    this.#trail.onAnswerBytes(chunk);
    if (this.#state === 'released') {
      answer.relay(chunk);
      this.#owner.onProgress();
      return;
    }
    answer.hold(chunk);
    // Too long to hold: a body that would have to be looked at is none that a dead token gets.
    if (this.#state === 'held' && answer.heldBytes > SMALL_BODY) this.#judge(this.#verdict === 'dead');
  }

  onEnd(): void {
    this.#complete = true;
    if (this.#state === 'released') {
      this.#answer?.end();
      this.#owner.onDelivered();
    } else if (this.#state === 'held') {
      this.#judge(this.#saysDead());
    }
  }

  onFailure(error: ProxyError): void {
    this.#owner.onFailure(error);
  }

  /**
   * Lets the answer out to the client, with these headers behind its own.
   * @throws ProxyError `upstream_invalid` if its head has characters in it that no head may have
   */
  release(extra: Readonly<HeaderList>): void {
    const answer = this.#answer;
    if (answer === undefined) return;
    this.#state = 'released';
    answer.headers.push(...extra);
    this.#trail.answerHeaders = answer.headers;
    try {
      if (this.#complete) answer.sendWhole();
      else answer.startStreaming();
    } catch (cause) {
      this.attempt.cancel();
      const detail = "The provider's answer has a head that is no valid HTTP. It may have acted on the request.";
      throw new ProxyError('upstream_invalid', detail, { cause });
    }
    if (this.#complete) this.#owner.onDelivered();
    else this.attempt.resume();
  }

  /** The client sees its connection break: half an answer must not pass for a whole one. */
  breakOff(): void {
    this.#answer?.breakOff();
  }

  #judge(dead: boolean): void {
    this.#state = 'judged';
    if (!dead) {
      if (this.#verdict === 'look') this.#noteAccepted(this.#answer?.status ?? 0);
      this.#owner.onAlive(this);
      return;
    }
    if (!this.#complete) this.attempt.pause();
    this.#owner.onDead(this);
  }

  /** Errors and redirects may come from something in front of the provider that does not look at the token. */
  #noteAccepted(status: number): void {
    if (status < 300) this.#route.tokens.served(this.#token, this.#call);
  }

  #saysDead(): boolean {
    const answer = this.#answer;
    if (answer === undefined || this.#verdict !== 'look') return this.#verdict === 'dead';
    const encoding = headerOf(answer.headers, 'content-encoding');
    return this.#route.deadToken.body(answer.status, answer.held(), encoding);
  }
}
