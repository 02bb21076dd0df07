import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { BUILD_TIMEOUT_MS, ROOT, script } from './packed.ts';

interface Locked {
  readonly version: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

interface Document {
  readonly bomFormat: string;
  readonly metadata: { readonly component: { readonly name: string; readonly version: string } };
  readonly components: readonly {
    readonly purl: string;
    readonly licenses?: readonly object[];
    readonly hashes?: object;
  }[];
}

const { version, packages } = JSON.parse(readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8')) as {
  version: string;
  packages: Readonly<Record<string, Locked>>;
};

/** The runtime dependencies, resolved as in Node: from the nearest `node_modules` that has the package. */
function runtime(from = '', found = new Map<string, Locked>()): Map<string, Locked> {
  const { dependencies, optionalDependencies } = packages[from]!;
  for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
    const place = nearest(from, name);
    if (found.has(place)) continue;
    found.set(place, packages[place]!);
    runtime(place, found);
  }
  return found;
}

function nearest(from: string, name: string): string {
  const place = `${from === '' ? '' : `${from}/`}node_modules/${name}`;
  if (packages[place] !== undefined) return place;
  if (from === '') throw new Error(`package-lock.json has no ${name}`);
  return nearest(
    from.includes('/node_modules/') ? from.replace(/\/node_modules\/(?!.*\/node_modules\/).*$/, '') : '',
    name,
  );
}

test('the SBOM lists the runtime dependencies of the package and nothing else', { timeout: BUILD_TIMEOUT_MS }, () => {
  const sbom = JSON.parse(script('package-sbom.mjs')) as Document;
  expect([sbom.bomFormat, sbom.metadata.component]).toEqual([
    'CycloneDX',
    expect.objectContaining({ name: 'wakala', version }),
  ]);
  const wanted = [...runtime()].map(
    ([place, locked]) => `pkg:npm/${place.replace(/^.*node_modules\//, '')}@${locked.version}`,
  );
  // A development tool needs yaml too, so `npm sbom --omit=dev` would leave it out.
  expect(sbom.components.some(({ purl }) => purl.startsWith('pkg:npm/yaml@'))).toBe(true);
  expect(sbom.components.map(({ purl }) => purl).sort()).toEqual(
    wanted.map((purl) => purl.replace(/\/@/, '/%40')).sort(),
  );
  expect(sbom.components.filter(({ licenses, hashes }) => licenses === undefined || hashes === undefined)).toEqual([]);
});
