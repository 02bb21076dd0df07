/** So many are remembered: an issuer has one, and another one after it moved. */
const MAX = 1000;

/** Every token endpoint that an issuer's metadata named since this process started. */
export class FoundEndpoints {
  readonly #urls = new Set<string>();
  #version = 0;

  /** Changes with every URL that is added. */
  get version(): number {
    return this.#version;
  }

  get urls(): Iterable<string> {
    return this.#urls;
  }

  add(url: string): void {
    if (this.#urls.has(url)) return;
    const [oldest] = this.#urls;
    if (this.#urls.size === MAX && oldest !== undefined) this.#urls.delete(oldest);
    this.#urls.add(url);
    this.#version += 1;
  }
}
