import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { networkCode, ProxyError } from '../errors.ts';
import type { Journal } from '../telemetry/journal.ts';
import type { RequestTrace } from '../telemetry/tracing.ts';
import type { TokenUse, Trail } from '../telemetry/trail.ts';
import type { Token, TokenCall } from '../tokens/token.ts';
import { reasonOf } from './client-answer.ts';
import type { ProxiedContext } from './handler.ts';
import { lateError } from './late.ts';
import { isFinalStatus } from './upstream.ts';
import type { LiveRoute } from './live-route.ts';
import { endSocket } from './linger.ts';
import { problemOf, rawProblem } from './problem.ts';

/** One WebSocket handshake: it has the route's deadline to be answered, and then only breaks. */
export class Handshake {
  readonly route: LiveRoute;
  /** As it goes on the wire. */
  readonly path: string;
  /** Undefined unless requests are traced. */
  readonly trace: RequestTrace | undefined;
  readonly #socket: Duplex;
  readonly #trail: Trail;
  readonly #journal: Journal;
  readonly #deadline: NodeJS.Timeout;
  readonly #call: TokenCall;
  #token: Token | undefined;
  #fetched = false;
  #request: ClientRequest | undefined;
  #connected = false;
  #answered = false;
  #replaced = false;
  #finished = false;

  constructor(
    route: LiveRoute,
    path: string,
    socket: Duplex,
    { trail, journal, trace }: Pick<ProxiedContext, 'trail' | 'journal' | 'trace'>,
  ) {
    this.route = route;
    this.path = path;
    this.trace = trace;
    this.#socket = socket;
    this.#trail = trail;
    this.#call = { client: trail.client, method: 'GET', path: path.replace(/\?.*/s, ''), sentAtMs: 0 };
    this.#journal = journal;
    this.#deadline = setTimeout(() => this.#onDeadline(), route.config.timeoutMs);
    route.activity.inFlight += 1;
    socket.once('close', () => {
      clearTimeout(this.#deadline);
      route.activity.inFlight -= 1;
      this.#request?.destroy();
      this.#finish(0);
    });
  }

  async token(): Promise<Token> {
    const { tokens } = this.route;
    const current = tokens.current();
    this.#fetched = current === undefined;
    this.#trail.receivedAt = performance.now();
    if (this.#fetched) this.trace?.waitsForToken();
    this.#token = current ?? (await tokens.token());
    this.#trail.tokenMs = performance.now() - this.#trail.receivedAt;
    return this.#token;
  }

  /** Listens in on the request before http-proxy-3's own listeners do. */
  watch(request: ClientRequest): void {
    this.#request = request;
    const times = this.#trail.onAttempt();
    this.#call.sentAtMs = times.sentAt;
    request.path = this.path;
    // Node drops headers above its default of 1000 silently.
    request.maxHeadersCount = 0;
    request.once('socket', (socket) => {
      socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', () => {
        this.#connected = true;
        times.connectedAt = performance.now();
      });
    });
    request.prependListener('upgrade', (answer: IncomingMessage) => {
      this.#onAnswer(answer, this.#fetched ? 'fetched' : 'cached');
      if (this.#token !== undefined) this.route.tokens.served(this.#token, this.#call);
    });
    request.prependListener('response', (answer: IncomingMessage) => {
      if (!isFinalStatus(answer.statusCode)) {
        this.#replace(answer);
        return;
      }
      const dead = this.route.deadToken.status(answer.statusCode ?? 0) === 'dead';
      this.#onAnswer(answer, dead ? 'not-replayed' : this.#fetched ? 'fetched' : 'cached');
      answer.once('error', () => this.#socket.destroy());
      // Not sent again: whoever opens WebSockets opens them again, and then has the new token.
      if (dead && this.#token !== undefined) void this.route.tokens.reject(this.#token, this.#call);
    });
  }

  /** Answers with a problem, or breaks the connection if an answer has begun. */
  fail(error: ProxyError): void {
    if (this.#replaced) return;
    if (this.#answered || !this.#socket.writable) {
      this.#socket.destroy();
      return;
    }
    this.#answered = true;
    this.#journal.failed(this.#trail, error, 'websocket handshake failed');
    this.#finish(error.status);
    endSocket(this.#socket, rawProblem(error, this.#trail.requestId));
    this.#request?.destroy();
  }

  /** What an error of the outgoing request means. */
  meaningOf(cause: unknown): ProxyError {
    if (this.#connected) {
      return new ProxyError('upstream_reset', 'The connection to the provider broke off in the handshake.', { cause });
    }
    const code = networkCode(cause);
    return code === 'ECONNECT_TIMEOUT'
      ? lateError('answer', false)
      : new ProxyError('upstream_unreachable', `The provider could not be connected to (${code}). Nothing was sent.`, {
          cause,
        });
  }

  /** Makes a 502 of an answer that http-proxy-3 is about to pass on. */
  #replace(answer: IncomingMessage): void {
    this.#replaced = true;
    clearTimeout(this.#deadline);
    const error = new ProxyError(
      'upstream_invalid',
      "The provider's answer to the handshake has a status out of range.",
    );
    this.#journal.failed(this.#trail, error, 'websocket handshake failed');
    this.#finish(error.status);
    const { status, headers, body } = problemOf(error, this.#trail.requestId);
    answer.statusCode = status;
    answer.statusMessage = 'Bad Gateway';
    answer.headers = { ...headers, connection: 'close' };
    // Behind the head, which http-proxy-3 writes in this turn.
    process.nextTick(() => {
      endSocket(this.#socket, body);
      answer.destroy();
    });
  }

  #onDeadline(): void {
    this.fail(this.#token === undefined ? lateError('token', false) : lateError('answer', this.#connected));
  }

  #onAnswer(answer: IncomingMessage, use: TokenUse): void {
    this.#answered = true;
    clearTimeout(this.#deadline);
    const secret = this.#token?.accessToken.reveal() ?? '';
    const kept = Object.entries(answer.headers).filter(
      ([name, value]) => ![name, value].flat().some((text) => text?.includes(secret) === true),
    );
    answer.statusMessage = reasonOf(answer.statusMessage ?? '', answer.statusCode ?? 0, secret);
    answer.headers = { ...Object.fromEntries(kept), 'x-request-id': this.#trail.requestId, 'wakala-token': use };
    this.#trail.use = use;
    this.#finish(answer.statusCode ?? 0);
  }

  /** `status`: what the client got; 0 if it left before. What follows on a WebSocket is nobody's request. */
  #finish(status: number): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#trail.status = status;
    this.#trail.clientLeft = status === 0;
    this.#journal.finished(this.#trail, this.route.activity);
    this.trace?.end();
  }
}
