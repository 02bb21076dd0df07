import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expectFile, expectThat } from './play.ts';

/** Tags that the page's commands made, each with the arguments that it was built with. */
type Tags = Record<string, Record<string, string>>;

const FILE = path.join(path.dirname(process.env['REPOSITORY'] ?? ''), 'images.json');
const REFERENCE = /^(?:[a-z0-9.-]+(?::\d+)?\/)?[a-z0-9._/-]+(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?$/;

export class Images {
  readonly #tags: Tags = existsSync(FILE) ? (JSON.parse(readFileSync(FILE, 'utf8')) as Tags) : {};

  /** @throws Error unless the Dockerfile has these arguments, and copies what is in the context */
  build(tag: string, dockerfile: string, context: string, args: readonly string[]): void {
    expectFile(dockerfile);
    expectFile(context);
    const text = readFileSync(dockerfile, 'utf8');
    const known = [...text.matchAll(/^ARG (\w+)/gm)].map(([, name]) => name);
    const given = args.map((arg) => arg.split('=') as [string, string?]);
    for (const [name] of given) expectThat(known.includes(name), `${dockerfile} has no argument ${name}`);
    for (const source of copiedBy(text)) expectFile(path.join(context, source));
    this.#add(tag, Object.fromEntries(given.map(([name, value]) => [name, value ?? process.env[name] ?? ''])));
  }

  tag(image: string, other: string): void {
    this.#add(other, this.get(image));
  }

  /** @throws Error unless the page made this tag */
  get(image: string): Record<string, string> {
    const found = this.#tags[image];
    expectThat(found !== undefined, `there is no image ${image}; there are ${Object.keys(this.#tags).join(', ')}`);
    return found;
  }

  #add(tag: string, args: Record<string, string>): void {
    expectThat(REFERENCE.test(tag), `${tag} is no name for an image`);
    this.#tags[tag] = args;
    writeFileSync(FILE, JSON.stringify(this.#tags));
  }
}

/** Files that a Dockerfile takes from its context. */
function copiedBy(text: string): string[] {
  const lines = text.replaceAll('\\\n', ' ').split('\n');
  const copies = lines.filter((line) => line.startsWith('COPY ') && !line.includes('--from='));
  return copies.flatMap((line) => line.split(/\s+/).slice(1, -1));
}
