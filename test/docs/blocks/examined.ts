import { type ValidatedConfig, validateConfig } from '../../../src/config/load.ts';

/**
 * A configuration of a document as `wakala check` sees it. A whole file is taken as it is; one without `routes` gets a
 * route; one that begins with a route's name is put below `routes`. The latter two leave things out, so credentials may
 * be missing in them. Variables are set and files are there, save those whose names say NOT_SET.
 */
export function examined(text: string): ValidatedConfig {
  const isRoute = text.startsWith('/');
  const isWhole = /^routes:/m.test(text);
  const indented = `routes:\n${text.replace(/^(?=.)/gm, '  ')}`;
  const file = isRoute ? indented : isWhole ? text : `${text}routes:\n  /x/*: { provider: mpesa }\n`;
  const names = [...text.matchAll(/\$\{([A-Z]\w*)\}/g)]
    .map(([, name = '']) => name)
    .filter((name) => !/NOT_SET/.test(name));
  return validateConfig('proxy.config.yaml', {
    env: Object.fromEntries(names.map((name) => [name, `made-up-value-of-${name}`])),
    readFile: (name) => (name.endsWith('proxy.config.yaml') ? file : 'made-up-content-of-a-file-0123456789'),
    emulated: !text.includes('credentials:'),
  });
}
