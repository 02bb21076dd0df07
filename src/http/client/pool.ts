import { type Clock, systemClock } from '../../clock.ts';
import { EgressError, type ProxyError } from '../../errors.ts';
import type { ConnectOptions, EgressProxy } from './connect-options.ts';
import { Connection, type ConnectionOptions, type ConnectionOwner } from './connection.ts';
import { type Dial, dialFor, type Dialing } from './dial.ts';
import { egressProxyFor, proxyAuthorizationLine } from './egress.ts';
import { brokenConnection, connectTimeout, egressFailed, invalidRequest, poolClosed, unreachable } from './failures.ts';
import {
  type ClientRequest,
  Exchange,
  type ExchangeOwner,
  type RequestBody,
  type ResponseHandler,
} from './http-exchange.ts';
import { type Origin, originOf } from './origin.ts';
import type { ReadBuffers } from './read-buffers.ts';
import { type Framing, RequestHeads } from './request-head.ts';

/** How long an idle connection is kept if the server sends no `Keep-Alive: timeout`. */
const IDLE_MS = 4000;
/** An idle connection is closed this long before the server would close it. */
const KEEP_ALIVE_MARGIN_MS = 2000;
/** Older connections are closed once they are idle, to follow DNS changes. */
const MAX_AGE_MS = 5 * 60_000;
const MAX_REQUESTS = 10_000;

export interface PoolOptions extends ConnectOptions {
  /** Time limit for opening a connection, including TLS and a second attempt. */
  readonly connectTimeoutMs: number;
  /** Shared by all pools of a thread. */
  readonly buffers: ReadBuffers;
  /** Value of the Host header. Default: that of the origin. */
  readonly hostHeader?: string | undefined;
  /** Limit for the head of a response. Default: 16 KiB. */
  readonly maxResponseHeaderBytes?: number | undefined;
  /** Default: a connection to the origin according to the `ConnectOptions`. */
  readonly dial?: Dial;
  /** Default: a monotonic clock. Only time differences matter. */
  readonly clock?: Clock;
}

export interface PoolStats {
  /** Number of connections that carry a request. */
  readonly busy: number;
  readonly idle: number;
  /** Number of requests that wait for a connection. */
  readonly waiting: number;
}

/** Not affected by changes of the system time. */
const monotonicClock: Clock = {
  now: () => performance.now(),
  after: (ms, callback) => systemClock.after(ms, callback),
};

/**
 * Sends requests to one origin over persistent HTTP/1.1 connections (RFC 9112 9.3), one request at a time on each.
 *
 * How failures are handled:
 *
 * - A connection cannot be opened: one more attempt within the same time limit, for any method, unless an egress proxy
 *   refused it. Then `upstream_unreachable` or `upstream_timeout`, `not_sent`.
 * - An idle connection was closed before a byte was written: use another connection, for any method.
 * - A reused connection broke after the request was written and before the first byte of a response: resend GET, HEAD
 *   and OPTIONS without a body once, on a new connection (RFC 9112 9.3.1).
 * - Anything else: `upstream_reset`, `unknown`. The request is not sent again.
 */
export class ConnectionPool implements ConnectionOwner, ExchangeOwner {
  readonly #server: string;
  readonly #options: PoolOptions;
  readonly #clock: Clock;
  readonly #heads: RequestHeads;
  readonly #dial: Dial;
  readonly #connectionOptions: ConnectionOptions;

  /** All connections, including those that are being opened. */
  readonly #connections = new Set<Connection>();
  readonly #dialing = new Map<Connection, Dialing>();
  /** A stack, so that surplus connections reach their idle timeout. */
  readonly #idle: Connection[] = [];
  /**
   * Connections whose response was completed in this iteration of the event loop, and in the previous one. They become
   * idle after a whole iteration: until then, a FIN or unsolicited bytes may be unread in the kernel's buffer.
   */
  #settling: Connection[] = [];
  #settledOneIteration: Connection[] = [];
  #isIterationAwaited = false;
  /** Requests that wait for a settling connection. None is being opened for them. */
  readonly #queue: Exchange[] = [];

  #isRetired = false;
  #isClosed = false;
  /** When the only timer fires, for the earliest deadline. */
  #timerAt = Infinity;
  #clearTimer: (() => void) | undefined;

  /** @param origin such as `https://api.example.com` */
  constructor(origin: string, options: PoolOptions) {
    const target = originOf(origin);
    this.#server = target.hostHeader;
    this.#options = options;
    this.#clock = options.clock ?? monotonicClock;
    const proxy = absoluteFormProxy(target, options);
    this.#connectionOptions = {
      buffers: options.buffers,
      server: target.hostHeader,
      maxHeadBytes: options.maxResponseHeaderBytes,
      proxy,
    };
    this.#heads = new RequestHeads(
      options.hostHeader ?? target.hostHeader,
      proxy && { origin: `http://${target.hostHeader}`, authorizationLine: proxyAuthorizationLine(proxy) },
    );
    this.#dial = options.dial ?? dialFor(target, { ...options, alwaysTunnels: proxy === undefined });
  }

  /**
   * Sends a request, immediately if there is an idle connection.
   * @throws ProxyError `internal_error`, `not_sent`, if it would not be exactly one HTTP request
   */
  send(request: ClientRequest, handler: ResponseHandler): Exchange {
    const head = this.#heads.build(request.method, request.target, request.headers, framingOf(request.body));
    const exchange = new Exchange(request, head, handler, this);
    if (this.#isClosed) {
      process.nextTick(() => exchange.fail(poolClosed(this.#server, false)));
      return exchange;
    }
    const connection = this.#takeIdle();
    if (connection !== undefined) connection.send(exchange, true);
    else if (this.#queue.length < this.#settlingCount) this.#queue.push(exchange);
    else this.#open(exchange);
    return exchange;
  }

  stats(): PoolStats {
    const idle = this.#idle.length + this.#settlingCount;
    const openedForOne = [...this.#dialing.keys()].filter(({ openedFor }) => openedFor !== undefined);
    return {
      busy: this.#connections.size - this.#dialing.size - idle,
      idle,
      waiting: this.#queue.length + openedForOne.length,
    };
  }

  /** Closes each connection once it is idle. Requests can still be sent. */
  retire(): void {
    this.#isRetired = true;
    for (const connection of [...this.#idle]) connection.close();
  }

  /** Closes all connections now. Requests in flight fail. */
  close(): void {
    this.#isClosed = true;
    this.#clearTimer?.();
    const waiting = this.#queue.splice(0);
    for (const [connection, dial] of this.#dialing) {
      dial.destroy();
      this.#connections.delete(connection);
      if (connection.openedFor !== undefined) waiting.push(connection.openedFor);
    }
    this.#dialing.clear();
    for (const connection of [...this.#connections]) connection.fail(poolClosed(this.#server, true));
    for (const exchange of waiting) exchange.fail(poolClosed(this.#server, exchange.hasStarted));
  }

  // Opening connections

  #open(exchange: Exchange): void {
    const connection = new Connection(this, this.#connectionOptions);
    exchange.connectBy ??= this.#clock.now() + this.#options.connectTimeoutMs;
    connection.openedFor = exchange;
    connection.connectBy = exchange.connectBy;
    this.#connections.add(connection);
    this.#dialing.set(connection, this.#startDial(connection));
    this.#setTimer(connection.connectBy);
  }

  /** A synchronous failure is reported later, like any other. */
  #startDial(connection: Connection): Dialing {
    try {
      return this.#dial(connection);
    } catch (error) {
      const failed = setImmediate(() => connection.onDialFailed(error));
      return { destroy: () => clearImmediate(failed) };
    }
  }

  /** Opens connections for the queued requests that no settling connection will take. */
  #openForQueue(): void {
    while (this.#queue.length > this.#settlingCount && !this.#isClosed) {
      const exchange = this.#queue.shift();
      if (exchange !== undefined) this.#open(exchange);
    }
  }

  onConnected(connection: Connection): void {
    this.#dialing.delete(connection);
    connection.openedAt = this.#clock.now();
    const exchange = connection.openedFor ?? this.#nextWaiting();
    connection.openedFor = undefined;
    if (exchange !== undefined) connection.send(exchange, false);
    else this.onReusable(connection);
  }

  onDialFailed(connection: Connection, error: unknown): void {
    this.#dialing.delete(connection);
    this.#connections.delete(connection);
    const exchange = connection.openedFor;
    if (exchange !== undefined) {
      exchange.failedDials += 1;
      const mayRetry = !(error instanceof EgressError && error.reason.kind === 'egress_refused');
      if (mayRetry && exchange.failedDials === 1 && this.#clock.now() < connection.connectBy) this.#open(exchange);
      else this.#failUnsent(exchange, unreachable(this.#server, error));
    }
    this.#openForQueue();
  }

  #onDialTimeout(connection: Connection, dial: Dialing): void {
    const { awaitedProxy } = dial;
    const egress = awaitedProxy && egressFailed(awaitedProxy, this.#server, { code: 'ETIMEDOUT' });
    dial.destroy();
    this.#dialing.delete(connection);
    this.#connections.delete(connection);
    const exchange = connection.openedFor;
    if (exchange !== undefined) {
      this.#failUnsent(exchange, connectTimeout(this.#server, this.#options.connectTimeoutMs, egress));
    }
    this.#openForQueue();
  }

  /** A request that is being resent may have been received on the first connection. */
  #failUnsent(exchange: Exchange, error: ProxyError): void {
    exchange.fail(exchange.hasStarted ? brokenConnection(this.#server, error.cause ?? error) : error);
  }

  // Reusing connections

  get #settlingCount(): number {
    return this.#settling.length + this.#settledOneIteration.length;
  }

  onReusable(connection: Connection): void {
    this.#settling.push(connection);
    this.#awaitIteration();
  }

  #awaitIteration(): void {
    if (this.#isIterationAwaited) return;
    this.#isIterationAwaited = true;
    setImmediate(endIteration, this);
  }

  /** Called by `endIteration`. */
  onIteration(): void {
    const settled = this.#settledOneIteration;
    this.#settledOneIteration = this.#settling;
    this.#settling = [];
    this.#isIterationAwaited = false;
    if (this.#settledOneIteration.length > 0) this.#awaitIteration();
    const now = this.#clock.now();
    for (const connection of settled) {
      if (connection.isUsable) this.#reuse(connection, now);
    }
    this.#openForQueue();
  }

  #reuse(connection: Connection, now: number): void {
    const isExpired = connection.requests >= MAX_REQUESTS || now - connection.openedAt >= MAX_AGE_MS;
    const exchange = isExpired || this.#isRetired ? undefined : this.#nextWaiting();
    if (exchange !== undefined) connection.send(exchange, true);
    else if (isExpired) connection.close();
    else this.#keepIdle(connection, now);
  }

  /** The next request in the queue, otherwise the first that waits for its own connection to open. */
  #nextWaiting(): Exchange | undefined {
    const queued = this.#queue.shift();
    if (queued !== undefined) return queued;
    for (const connection of this.#dialing.keys()) {
      const exchange = connection.openedFor;
      // A resent request needs a new connection.
      if (exchange === undefined || exchange.isResent) continue;
      connection.openedFor = undefined;
      return exchange;
    }
    return undefined;
  }

  #keepIdle(connection: Connection, now: number): void {
    const { keepAliveMs } = connection;
    const idleMs = keepAliveMs === undefined ? IDLE_MS : keepAliveMs - KEEP_ALIVE_MARGIN_MS;
    connection.idleUntil = Math.min(now + idleMs, connection.openedAt + MAX_AGE_MS);
    if (this.#isRetired || connection.idleUntil <= now) {
      connection.close();
    } else {
      this.#idle.push(connection);
      this.#setTimer(connection.idleUntil);
    }
  }

  #takeIdle(): Connection | undefined {
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      if (connection.isUsable && connection.idleUntil > this.#clock.now()) return connection;
      connection.close();
    }
    return undefined;
  }

  onClosed(connection: Connection): void {
    this.#connections.delete(connection);
    for (const list of [this.#idle, this.#settling, this.#settledOneIteration]) {
      const index = list.indexOf(connection);
      if (index !== -1) list.splice(index, 1);
    }
    this.#openForQueue();
  }

  resend(exchange: Exchange): void {
    exchange.owner = this;
    exchange.failedDials = 0;
    exchange.connectBy = undefined;
    if (this.#isClosed) exchange.fail(poolClosed(this.#server, true));
    else this.#open(exchange);
  }

  // Waiting exchanges

  drop(exchange: Exchange): void {
    const index = this.#queue.indexOf(exchange);
    if (index !== -1) this.#queue.splice(index, 1);
    for (const connection of this.#dialing.keys()) {
      if (connection.openedFor === exchange) connection.openedFor = undefined;
    }
  }

  setPaused(): void {
    // Nothing is read yet. `Connection.send` applies the state of the exchange.
  }

  release(chunk: Buffer): void {
    this.#options.buffers.release(chunk);
  }

  // Timer

  #setTimer(at: number): void {
    if (at >= this.#timerAt) return;
    this.#clearTimer?.();
    this.#timerAt = at;
    this.#clearTimer = this.#clock.after(at - this.#clock.now(), () => this.#onTimer());
  }

  #onTimer(): void {
    this.#timerAt = Infinity;
    // A timer may fire up to a millisecond early.
    const now = this.#clock.now() + 1;
    for (const [connection, dial] of [...this.#dialing]) {
      if (connection.connectBy <= now) this.#onDialTimeout(connection, dial);
    }
    for (const connection of [...this.#idle]) {
      if (connection.idleUntil <= now) connection.close();
    }
    for (const { connectBy } of this.#dialing.keys()) this.#setTimer(connectBy);
    for (const { idleUntil } of this.#idle) this.#setTimer(idleUntil);
  }
}

/**
 * The egress proxy that requests to this origin are sent to in absolute form. Undefined: they are sent to the origin,
 * directly or through a tunnel. A proxy replaces the Host header of a request in absolute form (RFC 9112 3.2.2), so a
 * Host header of the configuration needs a tunnel.
 */
function absoluteFormProxy(origin: Origin, { egress, hostHeader, dial }: PoolOptions): EgressProxy | undefined {
  if (origin.isTls || hostHeader !== undefined || dial !== undefined) return undefined;
  return egressProxyFor(origin, egress);
}

function endIteration(pool: ConnectionPool): void {
  pool.onIteration();
}

function framingOf(body: RequestBody): Framing {
  switch (body.kind) {
    case 'none':
      return 'none';
    case 'bytes':
      return body.bytes.length === 0 ? 'none' : body.bytes.length;
    case 'stream':
      if (body.length === undefined) return 'chunked';
      if (Number.isSafeInteger(body.length) && body.length >= 0) return body.length;
      throw invalidRequest('the length of its body is not a number of bytes');
  }
}
