import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { DEFAULT_ADDRESSES } from '../../src/config/schema.ts';
import { ROOT, textOf } from '../docs/documents.ts';

const DOCKERFILE = textOf('deploy/Dockerfile');
/** The last stage: the image itself. */
const IMAGE = DOCKERFILE.slice(DOCKERFILE.lastIndexOf('\nFROM '));
const CONTEXT = [...DOCKERFILE.matchAll(/^COPY (?!--)(.*) \S+$/gm)].flatMap(([, names = '']) => names.split(' '));

const manifest = JSON.parse(textOf('package.json')) as Readonly<Record<string, string>>;
const lock = JSON.parse(textOf('package-lock.json')) as { packages: Record<string, { version?: string }> };

/** What `deploy/test/run.sh` does not see in the image that it builds. */
describe('deploy/Dockerfile', () => {
  it('has base images that are pinned by digest, with the Node that the project is developed with', () => {
    const { version = '' } = lock.packages['node_modules/node']!;
    const [builder = '', base = ''] = DOCKERFILE.match(/^ARG (BUILDER|BASE)=\S+@sha256:[0-9a-f]{64}$/gm) ?? [];
    expect(builder).toContain(`/node:${version}-`);
    expect(base).toMatch(new RegExp(`/nodejs${version.split('.')[0]}-\\S+:nonroot@`));
    expect(DOCKERFILE.match(/^FROM .*/gm)).toEqual([
      'FROM --platform=$BUILDPLATFORM ${BUILDER} AS manifest',
      'FROM manifest AS dependencies',
      'FROM manifest AS build',
      'FROM ${BASE}',
    ]);
  });

  it('runs nothing in the last stage, and takes its files from the others, as root', () => {
    expect(IMAGE.match(/^(RUN|ADD|VOLUME|COPY(?! --from=)|.*--chown).*/gm)).toBeNull();
    expect(IMAGE).toContain('\nUSER 65532:65532\n');
  });

  it('names the ports that the configuration has by default', () => {
    const ports = Object.values(DEFAULT_ADDRESSES).map((address) => address.split(':')[1]);
    expect(IMAGE).toContain(`\nEXPOSE ${ports.join(' ')}\n`);
  });

  it('has the version, description and licence of package.json', () => {
    expect(IMAGE).toContain(`\nARG WAKALA_VERSION=${manifest['version']}\n`);
    expect(IMAGE).toContain(`description="${manifest['description']}"`);
    expect(IMAGE).toContain(`licenses="${manifest['license']}"`);
  });

  it('installs what the lock file says before it has the sources, and runs no script of a package', () => {
    expect(DOCKERFILE.match(/^RUN .*npm ci.*$/gm)).toEqual([
      'RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev --ignore-scripts',
      'RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts',
    ]);
    expect(DOCKERFILE.lastIndexOf('npm ci')).toBeLessThan(DOCKERFILE.indexOf('\nCOPY src src\n'));
  });

  it('takes no secret', () => {
    expect(DOCKERFILE).not.toMatch(/^(ARG|ENV) .*(KEY|SECRET|TOKEN|PASS|AUTH)/m);
    expect(CONTEXT.filter((name) => /^\.|npmrc|\.env|\.pem|\*/.test(name))).toEqual([]);
  });

  it('is sent only what it copies', () => {
    const [first, ...others] = textOf('.dockerignore')
      .split('\n')
      .filter((line) => /^[^#]/.test(line));
    expect(first).toBe('*');
    expect(new Set(others)).toEqual(new Set(CONTEXT.map((name) => `!${name}`)));
    expect(CONTEXT.filter((name) => !existsSync(path.join(ROOT, name)))).toEqual([]);
  });
});
