import type { RouteConfig } from '../../config/config.ts';
import { parseSource } from '../../config/source.ts';
import { getAt } from '../../config/tree.ts';
import { isFixed } from '../../providers/provider.ts';
import { placeholdersIn } from '../../providers/template.ts';

/** Where the value of a credential comes from, `$MPESA_CONSUMER_KEY`; undefined where that is not known. */
export type Origins = (route: string, field: string) => string | undefined;

/** Reads them from the text of a good configuration file. Never shows a value. */
export function originsIn(file: string, text: string): Origins {
  const { values } = parseSource(file, text);
  return (route, field) => {
    const written = getAt(values, ['routes', route, 'credentials', field]);
    // A value without references may be written as a number too.
    if (typeof written === 'number') return file;
    if (typeof written !== 'string') return undefined;
    const references = [...written.matchAll(/(?<!\$)\$\{(?:file:([^}]*)|([A-Za-z_][A-Za-z0-9_]*))/g)];
    const named = references.map(([, path, name]) => (path === undefined ? `$${name ?? ''}` : `the file ${path}`));
    return named.length === 0 ? file : named.join(' and ');
  };
}

/** The credentials that a route's token request sends, each with where its value comes from. */
export function sentCredentials({ name: route, provider }: Pick<RouteConfig, 'name' | 'provider'>, origins: Origins) {
  if (isFixed(provider.token)) return [];
  const sent = new Set(placeholdersIn(JSON.stringify(provider.token.request)));
  return provider.credentials
    .filter(({ name }) => sent.has(name))
    .map(({ name, description }) => {
      const origin = origins(route, name);
      return origin === undefined ? `\`${name}\` (${description})` : `\`${name}\` (from ${origin})`;
    });
}
