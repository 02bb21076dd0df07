import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { ProxyError } from '../errors.ts';
import type { Journal } from '../telemetry/journal.ts';
import type { RequestTrace } from '../telemetry/tracing.ts';
import type { AttemptTrail, Trail } from '../telemetry/trail.ts';
import type { Token, TokenCall } from '../tokens/token.ts';
import { pauseConnection, resumeConnection } from './body-reader.ts';
import type { Deadline, DeadlineOwner } from './deadlines.ts';
import { Delivery, type DeliveryOwner } from './delivery.ts';
import type { ProxiedContext } from './handler.ts';
import { answerHeaders, grouped, headerOf } from './headers.ts';
import { lateError } from './late.ts';
import { endSocket } from './linger.ts';
import type { LiveRoute } from './live-route.ts';
import { asProxyError, sendProblem } from './problem.ts';
import { responseOn } from './socket-response.ts';
import { isFinalStatus, MAX_INTERIM, meaningOf } from './upstream.ts';

/** How long one side of a WebSocket may stay open once the other has closed. Milliseconds. */
const CLOSE_MS = 2000;

/** What http-proxy-3 does with a 101. */
type Forward = (response: IncomingMessage, upstream: Socket, head: Buffer) => void;

/** A WebSocket handshake. Any response but a 101 goes the way of an ordinary response. */
export class Handshake implements DeliveryOwner, DeadlineOwner {
  readonly route: LiveRoute;
  /** As it goes on the wire. */
  readonly path: string;
  /** Undefined unless requests are traced. */
  readonly trace: RequestTrace | undefined;
  readonly #req: IncomingMessage;
  readonly #socket: Socket;
  readonly #context: ProxiedContext;
  readonly #trail: Trail;
  readonly #journal: Journal;
  readonly #deadline: Deadline;
  readonly #call: TokenCall;
  #phase: 'token' | 'answer' | 'relay' | 'over' = 'token';
  #token: Token | undefined;
  #times: AttemptTrail | undefined;
  #request: ClientRequest | undefined;
  #connected = false;
  #interim = 0;
  #res: ServerResponse | undefined;
  #delivery: Delivery | undefined;

  constructor(route: LiveRoute, req: IncomingMessage, socket: Socket, context: ProxiedContext) {
    const { below, trail, journal, trace } = context;
    this.route = route;
    this.#call = { client: trail.client, method: 'GET', path: route.basePath + below.path || '/', sentAtMs: 0 };
    this.path = this.#call.path + below.query;
    this.trace = trace;
    this.#req = req;
    this.#socket = socket;
    this.#context = context;
    this.#trail = trail;
    this.#journal = journal;
    this.#deadline = route.deadlines.start(this);
    route.activity.inFlight += 1;
    route.activity.websockets += 1;
    socket.once('close', () => {
      route.activity.websockets -= 1;
      this.#request?.destroy();
      this.#finish(0);
    });
  }

  /** Whether it was answered, or the client left. */
  get isOver(): boolean {
    return this.#phase === 'over';
  }

  async token(): Promise<Token> {
    const { tokens } = this.route;
    const current = tokens.current();
    this.#trail.receivedAt = performance.now();
    if (current === undefined) this.trace?.waitsForToken();
    this.#token = current ?? (await tokens.token());
    this.#trail.tokenMs = performance.now() - this.#trail.receivedAt;
    this.#trail.use = current === undefined ? 'fetched' : 'cached';
    return this.#token;
  }

  /** The request, as it is before http-proxy-3 sends it. */
  onRequest(request: ClientRequest): void {
    const times = this.#trail.onAttempt();
    this.#call.sentAtMs = times.sentAt;
    this.#trail.redaction = this.route.redaction;
    this.#times = times;
    this.#request = request;
    this.#phase = 'answer';
    request.path = this.path;
    // Node drops headers above its default of 1000 silently.
    request.maxHeadersCount = 0;
    request.once('socket', (socket) => {
      socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', () => {
        this.#connected = true;
        times.connectedAt = performance.now();
      });
    });
  }

  /** Leaves http-proxy-3 only what follows a 101: by itself it writes any other response without waiting for the client. */
  takeOver(): void {
    const request = this.#request;
    if (request === undefined) return;
    const [forward] = request.listeners('upgrade') as [Forward];
    for (const event of ['upgrade', 'response', 'error']) request.removeAllListeners(event);
    request.on('error', (error) => this.onFailure(meaningOf(error, this.#connected)));
    request.on('information', () => {
      this.#interim += 1;
      if (this.#interim > MAX_INTERIM) this.#invalid('it sent no end of interim answers');
    });
    request.once('upgrade', (response: IncomingMessage, upstream: Socket, head: Buffer) => {
      this.#onUpgrade(response, upstream, () => forward.call(request, response, upstream, head));
    });
    request.once('response', (response) => this.#onResponse(response, request));
  }

  onAlive(delivery: Delivery): void {
    this.#release(delivery);
  }

  /** Not sent again: whoever opens WebSockets opens them again, and then has the new token. */
  onDead(delivery: Delivery): void {
    this.#trail.refusals += 1;
    this.#trail.use = 'not-replayed';
    if (this.#token !== undefined) void this.route.tokens.reject(this.#token, this.#call);
    this.#release(delivery);
  }

  onProgress(): void {
    this.#deadline.restart();
  }

  onDelivered(): void {
    this.#finish(this.#delivery?.status ?? 0);
  }

  /** Answers with a problem, or breaks the connection if an answer has begun. */
  onFailure(error: ProxyError): void {
    if (this.#phase === 'over') return;
    const hasBegun = this.#phase === 'relay';
    if (hasBegun) this.#journal.failed(this.#trail, error, 'answer broke off');
    else this.#journal.failed(this.#trail, error, 'websocket handshake failed');
    this.#finish(hasBegun ? (this.#delivery?.status ?? 0) : error.status);
    this.#request?.destroy();
    if (hasBegun) this.#delivery?.breakOff();
    else sendProblem(this.#response(), error, this.#trail.requestId, this.#extraHeaders());
  }

  onDeadline(): void {
    switch (this.#phase) {
      case 'token':
        this.onFailure(lateError('token', false));
        break;
      case 'answer':
        this.onFailure(lateError('answer', this.#connected));
        break;
      case 'relay':
        this.onFailure(lateError('answer', true));
        break;
      case 'over':
        break;
    }
  }

  #onResponse(response: IncomingMessage, request: ClientRequest): void {
    const { statusCode = 0, statusMessage = '', rawHeaders } = response;
    response.on('error', (error) => this.onFailure(meaningOf(error, true)));
    if (this.#phase !== 'answer' || this.#token === undefined || this.#times === undefined) return;
    if (!isFinalStatus(statusCode)) {
      this.#invalid('its status is out of range');
      return;
    }
    const source = {
      started: true,
      sent: true,
      cancel: () => void request.destroy(),
      pause: () => pauseConnection(response),
      resume: () => resumeConnection(response),
    };
    const delivery = new Delivery(() => source, {
      ...{ route: this.route, token: this.#token, call: this.#call },
      ...{ res: this.#response(), owner: this, trail: this.#trail, times: this.#times },
    });
    this.#delivery = delivery;
    try {
      delivery.onHead(statusCode, statusMessage, rawHeaders);
      response.on('data', (chunk: Buffer) => delivery.onChunk(chunk));
      response.on('end', () => delivery.onEnd());
    } catch (error) {
      this.onFailure(asProxyError(error));
    }
  }

  #release(delivery: Delivery): void {
    this.#phase = 'relay';
    this.#trail.status = delivery.status ?? 0;
    this.#deadline.restart();
    try {
      delivery.release(['x-request-id', this.#trail.requestId, ...this.#extraHeaders()]);
    } catch (error) {
      this.#phase = 'answer';
      this.onFailure(asProxyError(error));
    }
  }

  #onUpgrade(response: IncomingMessage, upstream: Socket, forward: () => void): void {
    const upgrade = headerOf(response.rawHeaders, 'upgrade') ?? '';
    if (this.#phase !== 'answer' || this.#token === undefined || upgrade.trim().toLowerCase() !== 'websocket') {
      upstream.destroy();
      this.#invalid('it switched to another protocol');
      return;
    }
    const { requestId } = this.#trail;
    try {
      const headers = answerHeaders(response.rawHeaders, 101, this.route.redactionOf(this.#token));
      headers.push('connection', 'Upgrade', 'upgrade', 'websocket', 'x-request-id', requestId, ...this.#extraHeaders());
      this.#trail.answerHeaders = headers;
      response.headers = grouped(headers);
    } catch (error) {
      upstream.destroy();
      this.onFailure(asProxyError(error));
      return;
    }
    if (this.#times !== undefined) {
      this.#times.answeredAt = performance.now();
      this.#times.status = 101;
    }
    this.route.tokens.served(this.#token, this.#call);
    this.#finish(101);
    forward();
    this.#closeWhenIdle(upstream);
  }

  /** Closes both ends once no byte has moved in either direction for the route's limit, or one side has closed. */
  #closeWhenIdle(upstream: Socket): void {
    const idleMs = this.route.config.websocketIdleTimeoutMs;
    const watch = (socket: Socket, other: Socket) => {
      socket.setTimeout(idleMs).on('timeout', () => {
        // Nothing comes from it while the other is slow to take what has come: that one's own timeout decides.
        if (socket.writableLength === 0 && other.writableLength > 0) {
          socket.setTimeout(idleMs);
          return;
        }
        if (!socket.destroyed) this.#journal.say('info', this.#trail, 'idle websocket closed');
        socket.destroy();
        other.destroy();
      });
      // A WebSocket that one side has closed is over (RFC 6455 7.1.1); the other side has a moment to follow.
      socket.once('end', () => {
        const timer = setTimeout(() => {
          socket.destroy();
          other.destroy();
        }, CLOSE_MS);
        timer.unref();
      });
    };
    watch(this.#socket, upstream);
    watch(upstream, this.#socket);
    // A reset has no `end`, and http-proxy-3 leaves the other side as it is.
    this.#socket.once('close', () => upstream.destroy());
    upstream.once('close', () => endSocket(this.#socket));
  }

  #invalid(what: string): void {
    this.onFailure(new ProxyError('upstream_invalid', `The provider's answer was no valid HTTP: ${what}.`));
  }

  /** On the client's connection, for any answer but a 101. */
  #response(): ServerResponse {
    return (this.#res ??= responseOn(this.#socket, this.#req));
  }

  #extraHeaders(): string[] {
    const { use } = this.#trail;
    return [...this.#context.extraHeaders, ...(use === undefined ? [] : ['wakala-token', use])];
  }

  /** `status`: what the client got; 0 if it left before. What follows on a WebSocket is nobody's request. */
  #finish(status: number): void {
    if (this.#phase === 'over') return;
    this.#phase = 'over';
    this.#deadline.clear();
    this.route.activity.inFlight -= 1;
    this.#trail.status = status;
    this.#trail.clientLeft = status === 0;
    this.#journal.finished(this.#trail, this.route.activity);
    this.trace?.end();
  }
}
