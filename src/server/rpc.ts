import type { Clock } from '../clock.ts';

/** What one side of a connection may request from the other, and what it may tell it: functions by name. */
interface RpcInterface {
  /** Each request gets one response: the result, or the message of the error that was thrown. */
  readonly requests: object;
  /** A notification gets no response. */
  readonly notifications: object;
}

type NameOf<T> = keyof T & string;
type ArgumentsOf<F> = F extends (...args: infer A extends readonly unknown[]) => unknown ? A : never;
type ResultOf<F> = F extends (...args: never) => infer R ? Awaited<R> : never;

/**
 * - `timeout`: no response within the time for it
 * - `disconnected`: the other process has ended, or is about to
 * - `failed`: the other process threw an error; its message is that of this error
 */
type RpcFailure = 'timeout' | 'disconnected' | 'failed';

/** A request to the other process that got no result. */
export class RpcError extends Error {
  override readonly name = 'RpcError';
  readonly reason: RpcFailure;

  constructor(reason: RpcFailure, message: string) {
    super(message);
    this.reason = reason;
  }
}

type Message =
  | { readonly rpc: 'request'; readonly id: number; readonly name: string; readonly args: readonly unknown[] }
  | { readonly rpc: 'result'; readonly id: number; readonly result: unknown }
  | { readonly rpc: 'error'; readonly id: number; readonly error: string }
  | { readonly rpc: 'notification'; readonly name: string; readonly args: readonly unknown[] };

interface PendingRequest {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: RpcError) => void;
}

interface RpcContext<Local extends RpcInterface> {
  readonly clock: Clock;
  /** Sends a message to the other process. @returns false if it is disconnected */
  readonly send: (message: object) => boolean;
  /** Handle what the other process sends. */
  readonly handlers: Local;
}

/**
 * One end of the channel between the primary and a worker. Both sides send requests and notifications, in order. Every
 * request settles: with its response, after its timeout, or when the other process is gone.
 *
 * The two processes run the same program, so arguments are not validated. Messages that have another form are ignored:
 * process managers and preloaded modules send their own on the same channel.
 */
export class Rpc<Remote extends RpcInterface, Local extends RpcInterface> {
  readonly #context: RpcContext<Local>;
  readonly #pending = new Map<number, PendingRequest>();
  #lastId = 0;
  #isClosed = false;

  constructor(context: RpcContext<Local>) {
    this.#context = context;
  }

  /** @throws RpcError if there is no result within `timeoutMs` */
  request<N extends NameOf<Remote['requests']>>(
    name: N,
    args: ArgumentsOf<Remote['requests'][N]>,
    timeoutMs: number,
  ): Promise<ResultOf<Remote['requests'][N]>> {
    return new Promise((resolve, reject) => {
      this.#lastId += 1;
      const id = this.#lastId;
      const cancelTimeout = this.#context.clock.after(timeoutMs, () => {
        this.#pending.delete(id);
        reject(new RpcError('timeout', `no response to \`${name}\` within ${timeoutMs} ms`));
      });
      const settle = () => {
        this.#pending.delete(id);
        cancelTimeout();
      };
      const pending: PendingRequest = {
        resolve: (result) => {
          settle();
          resolve(result as ResultOf<Remote['requests'][N]>);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      };
      this.#pending.set(id, pending);
      if (this.#isClosed || !this.#send({ rpc: 'request', id, name, args })) pending.reject(disconnected());
    });
  }

  /** A notification to a process that is disconnected is dropped. */
  notify<N extends NameOf<Remote['notifications']>>(name: N, ...args: ArgumentsOf<Remote['notifications'][N]>): void {
    this.#send({ rpc: 'notification', name, args });
  }

  /** Takes a message from the other process. */
  receive(received: unknown): void {
    const message = messageOf(received);
    switch (message?.rpc) {
      case 'request':
        void this.#respond(message.id, message.name, message.args);
        break;
      case 'result':
        this.#pending.get(message.id)?.resolve(message.result);
        break;
      case 'error':
        this.#pending.get(message.id)?.reject(new RpcError('failed', message.error));
        break;
      case 'notification':
        handlerOf(this.#context.handlers.notifications, message.name)?.(...message.args);
        break;
      case undefined:
        break;
    }
  }

  /** The other process is gone: rejects all requests, those to come as well. */
  close(): void {
    this.#isClosed = true;
    for (const { reject } of [...this.#pending.values()]) reject(disconnected());
  }

  async #respond(id: number, name: string, args: readonly unknown[]): Promise<void> {
    try {
      const handler = handlerOf(this.#context.handlers.requests, name);
      if (handler === undefined) throw new Error(`unknown request \`${name}\``);
      this.#send({ rpc: 'result', id, result: await handler(...args) });
    } catch (error) {
      this.#send({ rpc: 'error', id, error: error instanceof Error ? error.message : String(error) });
    }
  }

  #send(message: Message): boolean {
    return this.#context.send(message);
  }
}

function disconnected(): RpcError {
  return new RpcError('disconnected', 'disconnected');
}

type Handler = (...args: readonly unknown[]) => unknown;

function handlerOf(handlers: object, name: string): Handler | undefined {
  const handler: unknown = Object.hasOwn(handlers, name) ? handlers[name as keyof typeof handlers] : undefined;
  return typeof handler === 'function' ? (handler as Handler) : undefined;
}

/** @returns undefined if `received` is not a message of an `Rpc` */
function messageOf(received: unknown): Message | undefined {
  if (typeof received !== 'object' || received === null) return undefined;
  const { rpc, id, name, args, error } = received as Record<string, unknown>;
  const isValid =
    (rpc === 'request' && Number.isSafeInteger(id) && typeof name === 'string' && Array.isArray(args)) ||
    (rpc === 'notification' && typeof name === 'string' && Array.isArray(args)) ||
    (rpc === 'result' && Number.isSafeInteger(id)) ||
    (rpc === 'error' && Number.isSafeInteger(id) && typeof error === 'string');
  return isValid ? (received as Message) : undefined;
}
