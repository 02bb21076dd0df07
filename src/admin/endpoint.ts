import type { Handler } from 'hono';

/** A path and what its one method does; GET answers HEAD as well. */
export type Endpoint = readonly [method: 'GET' | 'POST', path: string, handler: Handler];
