import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { measure, median, wrk } from './load.ts';
import { rssMb, stop } from './processes.ts';
import { type Environment, routeYaml, shortRouteYaml, type StartedSubject, startWakala } from './proxies.ts';
import { startSink, startTokenEndpoint } from './upstream.ts';

const MIB = 1024 * 1024;

async function withWakala<T>(
  place: Environment,
  use: (started: StartedSubject) => Promise<T>,
  routes?: string,
): Promise<T> {
  const started = await startWakala(place, routes);
  try {
    return await use(started);
  } finally {
    await stop(started.child);
  }
}

/** Time from the start of the process to its first accepted connection, and idle memory after that. */
export async function measureStart(place: Environment, times: number): Promise<{ readyMs: number; rssIdleMb: number }> {
  const readyMs: number[] = [];
  const rss: number[] = [];
  for (let i = 0; i < times; i++) {
    const before = performance.now();
    const started = await startWakala(place);
    readyMs.push(performance.now() - before);
    await new Promise((resolve) => setTimeout(resolve, 300));
    rss.push(rssMb(started.child.pid ?? 0));
    await stop(started.child);
  }
  return { readyMs: median(readyMs), rssIdleMb: median(rss) };
}

/** Memory growth for 100 MiB in one direction. */
export async function measureBulk(place: Environment): Promise<{ downMb: number; upMb: number }> {
  const sink = await startSink();
  const routes = routeYaml('/api', place) + routeYaml('/sink', { ...place, upstream: { port: sink.port } });
  const measured = withWakala(
    place,
    async ({ child, port }) => {
      const pid = child.pid ?? 0;
      await transfer(port, 'GET', '/api/small');
      const grown = async (method: string, path: string, bytes: number) => {
        const before = rssMb(pid);
        let peak = before;
        const watch = setInterval(() => (peak = Math.max(peak, rssMb(pid))), 20);
        await transfer(port, method, path, bytes);
        clearInterval(watch);
        return peak - before;
      };
      const downMb = await grown('GET', '/api/files/huge', 0);
      const upMb = await grown('POST', '/sink/all', 100 * MIB);
      return { downMb, upMb };
    },
    routes,
  );
  return await measured.finally(() => sink.close());
}

function transfer(port: number, method: string, path: string, bytes = 0): Promise<void> {
  return new Promise((resolve, reject) => {
    const req = httpRequest({ port, host: '127.0.0.1', method, path, headers: { 'content-length': bytes } }, (res) => {
      if (res.statusCode !== 200) reject(new Error(`${method} ${path}: ${res.statusCode}`));
      res.on('end', resolve).on('error', reject).resume();
    });
    req.on('error', reject);
    const chunk = Buffer.alloc(64 * 1024, 'x');
    let left = bytes;
    const write = () => {
      while (left > 0) {
        const part = chunk.subarray(0, Math.min(left, chunk.length));
        left -= part.length;
        if (!req.write(part)) {
          req.once('drain', write);
          return;
        }
      }
      req.end();
    };
    write();
  });
}

/** 1,000 requests at once on a route without a token: the number of exchanges, and the time until all are sent. */
export async function measureColdBurst(place: Environment): Promise<{ exchanges: number; allSentMs: number }> {
  const [endpoint, sink] = [await startTokenEndpoint(0), await startSink()];
  const fresh = { ...place, tokenPort: endpoint.port, upstream: { port: sink.port } };
  try {
    return await withWakala(
      fresh,
      async ({ port, prefix }) => {
        const sockets = Array.from({ length: 1000 }, () => connect(port, '127.0.0.1'));
        await Promise.all(sockets.map((socket) => once(socket, 'connect')));
        const responses = sockets.map(async (socket) => {
          socket.write(`GET ${prefix}/small HTTP/1.1\r\nHost: localhost\r\n\r\n`);
          const [chunk] = (await once(socket, 'data')) as [Buffer];
          if (!chunk.toString('latin1').startsWith('HTTP/1.1 200')) throw new Error(chunk.toString('latin1'));
        });
        await Promise.all(responses);
        const allSentMs = sink.lastRequestMs() - endpoint.lastResponseMs();
        for (const socket of sockets) socket.destroy();
        return { exchanges: endpoint.requestCount(), allSentMs };
      },
      routeYaml('/api', fresh),
    );
  } finally {
    endpoint.close();
    sink.close();
  }
}

/** CPU per request with 10 and with 10,000 routes with their own credentials, and the start time with 10,000 routes. */
export async function measureManyRoutes(place: Environment, seconds: number): Promise<ManyRoutes> {
  const cost = async (count: number) => {
    const routes = Array.from({ length: count }, (_, i) => shortRouteYaml(`r${i}`)).join('');
    const before = performance.now();
    return await withWakala(
      place,
      async ({ child, port }) => {
        const readyMs = performance.now() - before;
        const load = { method: 'GET', path: `/r${count - 1}/small`, connections: 32 } as const;
        await wrk(port, load, 1);
        return { readyMs, cpuUs: (await measure(child.pid ?? 0, port, load, seconds)).cpuUs };
      },
      routes,
    );
  };
  const few = [await cost(10)];
  const many = [await cost(10_000)];
  few.push(await cost(10));
  many.push(await cost(10_000));
  const leastUs = (runs: typeof few) => Math.min(...runs.map(({ cpuUs }) => cpuUs));
  return { few: leastUs(few), many: leastUs(many), readyMs: Math.min(...many.map(({ readyMs }) => readyMs)) };
}

export interface ManyRoutes {
  /** CPU microseconds per request with 10 routes. */
  readonly few: number;
  /** CPU microseconds per request with 10,000 routes. */
  readonly many: number;
  /** Start time with 10,000 routes, until the first accepted connection. */
  readonly readyMs: number;
}

/** Memory growth over a million requests after warming up. */
export async function measureMillion(
  place: Environment,
  requests: number,
): Promise<{ requests: number; grownMb: number }> {
  return await withWakala(place, async ({ child, port, prefix }) => {
    const load = { method: 'GET', path: `${prefix}/small`, connections: 32 } as const;
    const pid = child.pid ?? 0;
    let done = (await wrk(port, load, 10)).requests;
    const before = rssMb(pid);
    while (done < requests) done += (await wrk(port, load, 10)).requests;
    return { requests: done, grownMb: rssMb(pid) - before };
  });
}
