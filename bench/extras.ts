import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { median, measure, wrk } from './load.ts';
import { routeYaml, shortRouteYaml, startWakala, type Place, type Started } from './proxies.ts';
import { rssMb, stop } from './processes.ts';
import { startSink, startTokenEndpoint } from './upstream.ts';

const MIB = 1024 * 1024;

async function withWakala<T>(place: Place, use: (started: Started) => Promise<T>, routes?: string): Promise<T> {
  const started = await startWakala(place, routes);
  try {
    return await use(started);
  } finally {
    await stop(started.child);
  }
}

/** Time from the start of the process to its first accepted connection, and memory a moment later. */
export async function startUp(place: Place, times: number): Promise<{ readyMs: number; rssIdleMb: number }> {
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

/** How much memory 100 MiB in one direction take. */
export async function bulk(place: Place): Promise<{ downMb: number; upMb: number }> {
  const sink = await startSink();
  const routes = routeYaml('/api', place) + routeYaml('/sink', { ...place, upstream: { port: sink.port } });
  const measured = withWakala(
    place,
    async ({ child, port }) => {
      const pid = child.pid ?? 0;
      await transfer(port, 'GET', '/api/small');
      const grown = async (method: string, path: string, bytes: number) => {
        const before = rssMb(pid);
        let most = before;
        const watch = setInterval(() => (most = Math.max(most, rssMb(pid))), 20);
        await transfer(port, method, path, bytes);
        clearInterval(watch);
        return most - before;
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

/** 1,000 requests at once on a route without a token: how many exchanges, and how fast they leave after its answer. */
export async function coldBurst(place: Place): Promise<{ exchanges: number; allSentMs: number }> {
  const [endpoint, sink] = [await startTokenEndpoint(0), await startSink()];
  const fresh = { ...place, tokenPort: endpoint.port, upstream: { port: sink.port } };
  try {
    return await withWakala(
      fresh,
      async ({ port, prefix }) => {
        const sockets = Array.from({ length: 1000 }, () => connect(port, '127.0.0.1'));
        await Promise.all(sockets.map((socket) => once(socket, 'connect')));
        const answered = sockets.map(async (socket) => {
          socket.write(`GET ${prefix}/small HTTP/1.1\r\nHost: localhost\r\n\r\n`);
          const [chunk] = (await once(socket, 'data')) as [Buffer];
          if (!chunk.toString('latin1').startsWith('HTTP/1.1 200')) throw new Error(chunk.toString('latin1'));
        });
        await Promise.all(answered);
        const allSentMs = sink.lastRequestMs() - endpoint.answeredMs();
        for (const socket of sockets) socket.destroy();
        return { exchanges: endpoint.asked(), allSentMs };
      },
      routeYaml('/api', fresh),
    );
  } finally {
    endpoint.close();
    sink.close();
  }
}

/** CPU for each request with 10 and with 10,000 routes, each with its own credential, and the start with 10,000. */
export async function manyRoutes(place: Place, seconds: number): Promise<ManyRoutes> {
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
  /** CPU for each request with 10 routes. Microseconds. */
  readonly few: number;
  /** CPU for each request with 10,000 routes. Microseconds. */
  readonly many: number;
  /** From the start of the process with 10,000 routes to its first accepted connection. */
  readonly readyMs: number;
}

/** Memory before and after a million requests, both once warm. */
export async function million(place: Place, requests: number): Promise<{ requests: number; grownMb: number }> {
  return await withWakala(place, async ({ child, port, prefix }) => {
    const load = { method: 'GET', path: `${prefix}/small`, connections: 32 } as const;
    const pid = child.pid ?? 0;
    let done = (await wrk(port, load, 10)).requests;
    const before = rssMb(pid);
    while (done < requests) done += (await wrk(port, load, 10)).requests;
    return { requests: done, grownMb: rssMb(pid) - before };
  });
}
