import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { freePort } from './free-port.ts';
import { RedisProcess } from './redis-process.ts';

/** The nodes of a master that are waited for, and how often. Generous: the machine may be busy with other tests. */
const TRIES = 600;
const INTERVAL_MS = 50;

async function until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < TRIES; i++) {
    if (await isTrue().catch(() => false)) return;
    await sleep(INTERVAL_MS);
  }
  throw new Error(`timed out: ${what}`);
}

const SENTINEL_MASTER = 'the-master';

/** A master with one replica, and three sentinels that watch them. All end with the test. */
export class RedisSentinels {
  readonly servers: readonly RedisProcess[];
  readonly sentinels: readonly RedisProcess[];

  private constructor(servers: readonly RedisProcess[], sentinels: readonly RedisProcess[]) {
    this.servers = servers;
    this.sentinels = sentinels;
  }

  /**
   * @param server arguments of master and replica
   * @param sentinel lines of the sentinels' configuration; with `master` for the name of the master
   */
  static async start({
    server = [],
    sentinel = [],
  }: { readonly server?: readonly string[]; readonly sentinel?: readonly string[] } = {}): Promise<RedisSentinels> {
    const master = await RedisProcess.start(onTestFinished, server);
    const replica = await RedisProcess.start(onTestFinished, [
      ...server,
      '--replicaof',
      '127.0.0.1',
      String(master.port),
    ]);
    const lines = [
      `sentinel monitor ${SENTINEL_MASTER} 127.0.0.1 ${master.port} 2`,
      `sentinel down-after-milliseconds ${SENTINEL_MASTER} 1000`,
      `sentinel failover-timeout ${SENTINEL_MASTER} 5000`,
      ...sentinel,
    ];
    const sentinels = await Promise.all([1, 2, 3].map(() => RedisProcess.startSentinel(onTestFinished, lines)));
    const started = new RedisSentinels([master, replica], sentinels);
    await until('the sentinels know each other and the replica', async () => {
      const states = await Promise.all(sentinels.map((each) => each.ask('INFO sentinel')));
      return states.every((state) => /status=ok,address=[^,]*,slaves=1,sentinels=3/.test(state));
    });
    return started;
  }

  /** For the `token_store` of a configuration. */
  get settings() {
    return { sentinel: { name: SENTINEL_MASTER, nodes: this.sentinels.map(({ address }) => address) } };
  }

  /** The one that two of the sentinels call the master. */
  async master(): Promise<RedisProcess> {
    const ports = await Promise.all(
      this.sentinels.map(async (each) => {
        const reply = await each.ask(`SENTINEL GET-MASTER-ADDR-BY-NAME ${SENTINEL_MASTER}`);
        return Number(/\r\n(\d+)\r\n$/.exec(reply)?.[1]);
      }),
    );
    const master = this.servers.find(({ port }) => ports.filter((each) => each === port).length >= 2);
    if (master === undefined) throw new Error('the sentinels do not agree');
    return master;
  }

  /** Waits until another server than this one is the master. */
  async failedOver(from: RedisProcess): Promise<void> {
    await until('the sentinels chose another master', async () => (await this.master()) !== from);
  }
}

/** Three masters with one replica each. All end with the test. */
export class RedisCluster {
  readonly nodes: readonly RedisProcess[];

  private constructor(nodes: readonly RedisProcess[]) {
    this.nodes = nodes;
  }

  static async start(args: readonly string[] = []): Promise<RedisCluster> {
    const busPorts = await Promise.all(Array.from({ length: 6 }, freePort));
    const own = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000', ...args];
    const nodes = await Promise.all(
      busPorts.map((port) => RedisProcess.start(onTestFinished, [...own, '--cluster-port', String(port)])),
    );
    const cluster = new RedisCluster(nodes);
    const [first, ...others] = nodes;
    const ranges = ['0 5460', '5461 10922', '10923 16383'];
    for (const [i, range] of ranges.entries()) await nodes[i]?.ask(`CLUSTER ADDSLOTSRANGE ${range}`);
    await Promise.all(nodes.map((node, i) => node.ask(`CLUSTER SET-CONFIG-EPOCH ${i + 1}`)));
    for (const [i, node] of others.entries()) {
      await first?.ask(`CLUSTER MEET 127.0.0.1 ${node.port} ${busPorts[i + 1]}`);
    }
    await until('the nodes know each other', async () => {
      const states = await Promise.all(nodes.map((node) => node.ask('CLUSTER INFO')));
      return states.every((state) => /cluster_state:ok[^]*cluster_known_nodes:6/.test(state));
    });
    for (const [i, node] of nodes.slice(3).entries()) {
      const master = nodes[i] ?? node;
      await node.ask(`CLUSTER REPLICATE ${await cluster.idOf(master)}`);
    }
    await until('the replicas have their data', async () => {
      const states = await Promise.all(nodes.slice(3).map((node) => node.ask('INFO replication')));
      return states.every((state) => state.includes('master_link_status:up'));
    });
    return cluster;
  }

  /** For the `token_store` of a configuration. */
  get settings() {
    return { cluster: { nodes: this.nodes.map(({ address }) => address) } };
  }

  /** The name of a node in the cluster. */
  async idOf(node: RedisProcess): Promise<string> {
    return /\r\n(\w+)\r\n/.exec(await node.ask('CLUSTER MYID'))?.[1] ?? '';
  }

  /** The master of this key. */
  async masterOf(key: string): Promise<RedisProcess> {
    for (const node of this.nodes) {
      const reply = await node.ask(`EXISTS ${key}`).catch(() => '');
      const [, port] = /^-MOVED \d+ .*:(\d+)\r\n/.exec(reply) ?? [];
      const master = reply.startsWith(':') ? node : this.nodes.find((each) => String(each.port) === port);
      if (master !== undefined) return master;
    }
    throw new Error('no node knows the master');
  }

  /** Waits until another node than this one has the key, and the cluster works. */
  async failedOver(key: string, from: RedisProcess): Promise<void> {
    await until('the cluster chose another master', async () => {
      const running = this.nodes.filter((node) => node !== from);
      const replies = await Promise.all(running.map((node) => node.ask(`EXISTS ${key}`)));
      return (
        replies.some((reply) => reply.startsWith(':')) && !replies.some((reply) => reply.includes(`:${from.port}`))
      );
    });
  }
}
