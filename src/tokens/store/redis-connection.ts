import { isIP } from 'node:net';
import type { createClient, RedisClientType } from 'redis';
import type { Clock } from '../../clock.ts';
import type { RedisServers } from '../../config/config.ts';
import { secureContextOf } from '../../http/client/dial.ts';
import { formatHostPort, type HostPort } from '../../http/host-port.ts';
import { StoreUnavailable } from './store.ts';

/** Time for one client to connect, with TLS and login. */
const CONNECT_TIMEOUT_MS = 2000;

/** A connection to Redis. It does not reconnect: make another one after its first error. */
export interface RedisConnection {
  /** The server that it found, `host:port`. Undefined for a cluster. */
  readonly server: string | undefined;
  /** Why a part of the cluster is not connected. */
  readonly failure: unknown;
  /**
   * Sends a command to the server that has `key`.
   * @throws StoreUnavailable if that server is not connected, or Error of the Redis client
   */
  send(key: string, command: readonly string[]): Promise<unknown>;
  subscribe(channel: string, onEvent: (event: string) => void): Promise<void>;
}

interface ConnectContext {
  readonly clock: Clock;
  readonly createClient: typeof createClient;
  /** Uniform in [0, 1), like `Math.random`. */
  readonly random: () => number;
  /** Ends every client of the connection, those that still connect included. */
  readonly signal: AbortSignal;
  /** A client has ended after it was connected. */
  readonly onError: (error: unknown) => void;
  /** A part of the cluster has moved. The connection stays in use and follows redirections. */
  readonly onMoved: () => void;
}

/** @throws Error of the Redis client, or `UNKNOWN_MASTER` */
export function connectRedis(servers: RedisServers, context: ConnectContext): Promise<RedisConnection> {
  switch (servers.kind) {
    case 'single':
      return connectServer(servers.addresses[0], servers, context);
    case 'sentinel':
      return connectMaster(servers, context);
    case 'cluster':
      return ClusterConnection.open(servers, context);
  }
}

/** Connects one client, which ends at its first error. @throws StoreUnavailable, or Error of the Redis client */
async function connectClient(
  { host, port }: HostPort,
  { username, password, database = 0 }: RedisServers['login'],
  tls: RedisServers['tls'],
  { clock, createClient, signal, onError }: ConnectContext,
): Promise<RedisClientType> {
  const name = tls?.serverName ?? host;
  const encryption = tls && {
    tls: true as const,
    secureContext: secureContextOf(tls),
    // Explicit, so that NODE_TLS_REJECT_UNAUTHORIZED has no effect.
    rejectUnauthorized: true,
    // SNI does not allow IP addresses (RFC 6066 3).
    ...(isIP(name) === 0 && { servername: name }),
  };
  const client: RedisClientType = createClient({
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password: password.reveal() }),
    database,
    disableOfflineQueue: true,
    // Commands that the scripts do not need, and that a user with few rights may not send.
    disableClientInfo: true,
    maintNotifications: 'disabled',
    socket: { host, port, connectTimeout: CONNECT_TIMEOUT_MS, reconnectStrategy: false, ...encryption },
  });
  let isConnected = false;
  client.on('error', (error: unknown) => {
    if (isConnected && !signal.aborted) onError(error);
  });
  signal.addEventListener('abort', () => client.destroy());
  try {
    await within(CONNECT_TIMEOUT_MS, client.connect(), clock);
    signal.throwIfAborted();
    isConnected = true;
    return client;
  } catch (error) {
    client.destroy();
    throw error;
  }
}

/** Sends a command unless the client has ended. */
async function send(client: RedisClientType | undefined, command: readonly string[]): Promise<unknown> {
  if (client?.isReady !== true) throw notConnected();
  return await client.sendCommand(command);
}

/** One client for scripts and one for events. */
async function connectServer(
  address: HostPort,
  { login, tls }: RedisServers,
  context: ConnectContext,
): Promise<RedisConnection> {
  const connect = () => connectClient(address, login, tls, context);
  const [commands, events] = await Promise.all([connect(), connect()]);
  return {
    server: formatHostPort(address),
    failure: undefined,
    send: (_key, command) => send(commands, command),
    subscribe: (channel, onEvent) => events.subscribe(channel, onEvent),
  };
}

/** Connects to the master that a sentinel names. Which one is asked first is random, since one may have an old view. */
async function connectMaster(
  { addresses, tls, ...servers }: RedisServers & { readonly kind: 'sentinel' },
  context: ConnectContext,
): Promise<RedisConnection> {
  const command = ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', servers.masterName];
  const master = await firstOf(shuffled(addresses, context.random), async (address) => {
    const reply = await ask(address, command, { login: servers.sentinelLogin, tls }, context);
    const [host, port] = Array.isArray(reply) ? (reply as unknown[]) : [];
    if (typeof host !== 'string') throw new StoreUnavailable('UNKNOWN_MASTER');
    return { host, port: Number(port) };
  });
  return await connectServer(master, { addresses, tls, ...servers }, context);
}

/** Sends one command on a separate connection. */
async function ask(
  address: HostPort,
  command: readonly string[],
  { login, tls }: Pick<RedisServers, 'login' | 'tls'>,
  context: ConnectContext,
): Promise<unknown> {
  const client = await connectClient(address, login, tls, { ...context, onError: ignore });
  try {
    return await within(CONNECT_TIMEOUT_MS, client.sendCommand(command), context.clock);
  } finally {
    client.destroy();
  }
}

/** A range of slots, and the master that has it. */
interface SlotRange {
  readonly first: number;
  readonly last: number;
  readonly master: HostPort;
}

/** One client for each master, and one for events: each master passes on the events of all others. */
class ClusterConnection implements RedisConnection {
  readonly server = undefined;
  failure: unknown;
  readonly #servers: RedisServers;
  readonly #context: ConnectContext;
  readonly #slots: readonly SlotRange[];
  readonly #clients = new Map<string, Promise<RedisClientType>>();
  #events: RedisClientType | undefined;

  private constructor(servers: RedisServers, context: ConnectContext, slots: readonly SlotRange[]) {
    this.#servers = servers;
    this.#context = context;
    this.#slots = slots;
  }

  /** @throws unless at least one master is connected */
  static async open(servers: RedisServers, context: ConnectContext): Promise<ClusterConnection> {
    const slots = await firstOf(shuffled(servers.addresses, context.random), async (address) =>
      readSlots(await ask(address, ['CLUSTER', 'SLOTS'], servers, context), address),
    );
    const connection = new ClusterConnection(servers, context, slots);
    await connection.#connect();
    return connection;
  }

  async #connect(): Promise<void> {
    const masters = new Map(this.#slots.map(({ master }) => [formatHostPort(master), master]));
    const results = await Promise.allSettled([...masters.values()].map((master) => this.#clientOf(master)));
    this.failure = results.find((result) => result.status === 'rejected')?.reason;
    const connected = [...masters.values()].filter((_, i) => results[i]?.status === 'fulfilled');
    if (connected.length === 0) throw this.failure;
    const { login, tls } = this.#servers;
    this.#events = await firstOf(shuffled(connected, this.#context.random), (master) =>
      connectClient(master, login, tls, this.#context),
    );
  }

  async send(key: string, command: readonly string[]): Promise<unknown> {
    const slot = slotOf(key);
    const owner = this.#slots.find(({ first, last }) => first <= slot && slot <= last)?.master;
    // If no master has this slot, the cluster responds with an error.
    const client = await this.#clientOf(owner ?? this.#servers.addresses[0]);
    try {
      return await send(client, command);
    } catch (error) {
      const redirection = readRedirection(error, owner);
      if (redirection === undefined) throw error;
      // Also if that server cannot be reached: it may come back, and this connection does not try it again.
      if (redirection.isPermanent) this.#context.onMoved();
      const target = await this.#clientOf(redirection.to);
      // Both commands are queued at once, so no other command comes between them.
      if (!redirection.isPermanent) void target.sendCommand(['ASKING']).catch(ignore);
      return await send(target, command);
    }
  }

  async subscribe(channel: string, onEvent: (event: string) => void): Promise<void> {
    await this.#events?.subscribe(channel, onEvent);
  }

  #clientOf(address: HostPort): Promise<RedisClientType> {
    const name = formatHostPort(address);
    let client = this.#clients.get(name);
    if (client === undefined) {
      client = connectClient(address, this.#servers.login, this.#servers.tls, this.#context);
      this.#clients.set(name, client);
    }
    return client;
  }
}

/** Reads the response to `CLUSTER SLOTS`. A node that does not know its host leaves it out. @throws StoreUnavailable */
function readSlots(reply: unknown, from: HostPort): SlotRange[] {
  const ranges = Array.isArray(reply) ? (reply as unknown[]) : [];
  const slots = ranges.flatMap((range): SlotRange[] => {
    const [first, last, node] = Array.isArray(range) ? (range as unknown[]) : [];
    const [host, port] = Array.isArray(node) ? (node as unknown[]) : [];
    const isKnown = typeof host === 'string' && host !== '' && host !== '?';
    const master = { host: isKnown ? host : from.host, port: Number(port) };
    return [{ first: Number(first), last: Number(last), master }];
  });
  if (slots.length === 0) throw new StoreUnavailable('CLUSTERDOWN');
  return slots;
}

/** `MOVED 3999 127.0.0.1:6381` or `ASK 3999 127.0.0.1:6381`. An empty host is that of the server that sent it. */
function readRedirection(
  error: unknown,
  from: HostPort | undefined,
): { readonly isPermanent: boolean; readonly to: HostPort } | undefined {
  const message = error instanceof Error ? error.message : '';
  const [, kind, host, port] = /^(MOVED|ASK) \d+ (.*):(\d+)$/.exec(message) ?? [];
  if (kind === undefined) return undefined;
  return { isPermanent: kind === 'MOVED', to: { host: host || (from?.host ?? ''), port: Number(port) } };
}

/** The slot of a key that has a hash tag: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ */
export function slotOf(key: string): number {
  const tag = /\{([^{}]+)\}/.exec(key)?.[1] ?? key;
  let crc = 0;
  for (const byte of Buffer.from(tag)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
  }
  return crc % 16_384;
}

/** The first result. @throws the last error if all fail */
async function firstOf<Item, Result>(
  items: readonly Item[],
  attempt: (item: Item) => Promise<Result>,
): Promise<Result> {
  let last: unknown = notConnected();
  for (const item of items) {
    try {
      return await attempt(item);
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

function shuffled<Item>(items: readonly Item[], random: () => number): Item[] {
  return items
    .map((item) => ({ item, rank: random() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ item }) => item);
}

/** @throws StoreUnavailable after `timeoutMs` */
async function within<Result>(timeoutMs: number, result: Promise<Result>, clock: Clock): Promise<Result> {
  let cancel = () => {};
  const timeout = new Promise<never>((_, reject) => {
    cancel = clock.after(timeoutMs, () => reject(new StoreUnavailable('timeout')));
  });
  try {
    return await Promise.race([result, timeout]);
  } finally {
    cancel();
  }
}

export function notConnected(): StoreUnavailable {
  return new StoreUnavailable('not_connected', 'not connected');
}

function ignore(): void {
  return;
}
