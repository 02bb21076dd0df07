import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from '../docs/documents.ts';
import { temporaryDirectory } from '../support/proxy-process.ts';

/** Runs Prometheus's own tool in `deploy/monitoring`. @returns what it complains of, empty if nothing */
export function promtool(args: readonly string[], input?: string): string {
  const cwd = path.join(ROOT, 'deploy/monitoring');
  const { status, stdout, stderr } = spawnSync('promtool', args, { cwd, encoding: 'utf8', input });
  return status === 0 ? '' : stdout + stderr;
}

/** Has promtool read expressions in PromQL. @returns what it complains of, empty if nothing */
export function checkExpressions(expressions: readonly string[]): string {
  const file = path.join(temporaryDirectory(), 'rules.json');
  const rules = expressions.map((expr, i) => ({ record: `expression_${i}`, expr }));
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'all', rules }] }));
  return promtool(['check', 'rules', '--lint=none', file]);
}

/** The metrics of ours, and of the process, that an expression names. */
export function metricsIn(expression: string): string[] {
  return expression.match(/\b(?:wakala|process|nodejs)_\w+/g) ?? [];
}

/** The labels that an expression compares. `.*` is any value, `a|b` is either. */
export function matchersIn(expression: string): { readonly label: string; readonly values: readonly string[] }[] {
  const matchers = [...expression.matchAll(/(\w+)(?:=~|!~|!=|=)"([^"]*)"/g)];
  return matchers.map(([, label = '', value = '']) => ({ label, values: value === '.*' ? [] : value.split('|') }));
}

/** The labels that an expression groups or joins by. */
export function groupingIn(expression: string): string[] {
  const lists = [...expression.matchAll(/\b(?:by|without|on|ignoring|group_left|group_right) ?\(([^)]*)\)/g)];
  return lists.flatMap(([, list = '']) => list.split(',').map((label) => label.trim())).filter((label) => label !== '');
}
