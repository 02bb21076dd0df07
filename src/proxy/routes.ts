/** Finds the route of a raw request target: the longest prefix that ends on a segment boundary. */
export class RouteTable<R extends { readonly prefix: string }> {
  readonly #byPrefix = new Map<string, R>();
  readonly #catchAll: R | undefined;
  /** Segments of the longest prefix: how far into a path it is worth looking. */
  readonly #depth: number;

  constructor(routes: readonly R[]) {
    for (const route of routes) this.#byPrefix.set(route.prefix, route);
    this.#catchAll = this.#byPrefix.get('');
    this.#depth = Math.max(0, ...routes.map((route) => route.prefix.split('/').length - 1));
  }

  /** `path` is raw and without its query; nothing is decoded. The cost does not depend on the number of routes. */
  match(path: string): R | undefined {
    let found = this.#catchAll;
    let end = 0;
    for (let depth = 0; depth < this.#depth; depth++) {
      end = path.indexOf('/', end + 1);
      const prefix = end === -1 ? path : path.slice(0, end);
      found = this.#byPrefix.get(prefix) ?? found;
      if (end === -1) break;
    }
    return found;
  }
}
