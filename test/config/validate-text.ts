import { dirname } from 'node:path';
import { expect } from 'vitest';
import type { Config, RouteConfig } from '../../src/config/config.ts';
import { type LoadOptions, validateConfig, type ValidatedConfig } from '../../src/config/load.ts';

export const FILE = 'proxy.config.yaml';

/** Files and variables that a configuration under test may refer to. */
export interface Surroundings extends Omit<LoadOptions, 'readFile' | 'fileMode' | 'folders'> {
  readonly files?: Readonly<Record<string, string>>;
  /** Permission bits of files and folders by path. Those of others are unknown. */
  readonly modes?: Readonly<Record<string, number>>;
}

/** Reads a configuration from a text, with only the given files and variables. */
export function validateText(
  text: string,
  { files = {}, modes = {}, env = {}, ...options }: Surroundings = {},
): ValidatedConfig {
  const readFile = (path: string) => {
    const found = path === FILE ? text : files[path];
    if (found === undefined) throw Object.assign(new Error('not there'), { code: 'ENOENT' });
    return found;
  };
  const folders = (path: string) => [{ path: dirname(path), mode: modes[dirname(path)] ?? 0 }];
  return validateConfig(FILE, { ...options, env, readFile, fileMode: (path) => modes[path], folders });
}

/** `line:column key | message` of every problem, in order. */
export function problemsOf(text: string, surroundings: Surroundings = {}): string[] {
  return validateText(text, surroundings).problems.map(shown);
}

/** Checks that a configuration has one problem. @param place `line:column key` */
export function expectProblem(problems: readonly string[], place: string, reason: string): void {
  expect(problems).toEqual([expect.stringContaining(reason)]);
  expect(problems[0]?.split(' | ', 1)).toEqual([place]);
}

export function warningsOf(text: string, surroundings: Surroundings = {}): string[] {
  return validateText(text, surroundings).warnings.map(shown);
}

function shown({ line, column, key, message }: ValidatedConfig['problems'][number]): string {
  return `${line}:${column} ${key} | ${message}`;
}

/** The configuration of a text without problems. */
export function good(text: string, surroundings: Surroundings = {}): Config {
  const { config, problems } = validateText(text, surroundings);
  if (config === undefined) throw new Error(problems.map(shown).join('\n'));
  return config;
}

/** A whole file around the lines of an M-Pesa route: the first of them is line 5, column 5. */
export function mpesaWith(...lines: string[]): string {
  const head = [
    'routes:',
    '  /mpesa/*:',
    '    provider: mpesa',
    '    credentials: {consumer_key: k, consumer_secret: s}',
  ];
  return [...head, ...lines.map((line) => `    ${line}`), ''].join('\n');
}

/** The same around top-level lines: the first of them is line 5, column 1. */
export function topWith(...lines: string[]): string {
  return `${mpesaWith()}${lines.join('\n')}\n`;
}

export function routeOf(text: string, surroundings: Surroundings = {}): RouteConfig {
  const [route] = good(text, surroundings).routes;
  if (route === undefined) throw new Error('no route');
  return route;
}

/** The resolved M-Pesa route with these lines added. */
export function mpesaRoute(...lines: string[]): RouteConfig {
  return routeOf(mpesaWith(...lines));
}
