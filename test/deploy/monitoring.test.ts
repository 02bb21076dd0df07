import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { hasTool } from '../support/tools.ts';
import { parse } from 'yaml';
import { statusOf } from '../../src/errors.ts';
import { scrape, startBusyProxy } from '../admin/metrics-scenario.ts';
import type { Scrape } from '../admin/metrics-text.ts';
import { ROOT, textOf } from '../docs/documents.ts';
import { readPromql } from './promql.ts';

const FOLDER = path.join(ROOT, 'deploy/monitoring');

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook: string };
}

interface Target {
  readonly expr: string;
  readonly legendFormat: string;
}

interface Panel {
  readonly title: string;
  readonly type: string;
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly Target[];
}

interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string; definition?: string }[];
  };
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
}

const { groups } = parse(textOf('deploy/monitoring/alerts.yaml')) as { groups: { rules: Rule[] }[] };
const RULES = groups.flatMap(({ rules }) => rules);
const DASHBOARD = JSON.parse(textOf('deploy/monitoring/grafana-dashboard.json')) as Dashboard;
const TARGETS = DASHBOARD.panels.flatMap(({ title, targets = [] }) => targets.map((one) => [title, one] as const));
const VARIABLES = DASHBOARD.templating.list.flatMap(({ definition }) => definition ?? []);

/** Name and expression of everything that asks Prometheus; Grafana's variables filled in. */
const EXPRESSIONS: readonly (readonly [string, string])[] = [
  ...RULES.map(({ alert, expr }) => [alert, expr] as const),
  ...TARGETS.map(([title, { expr }]) => [title, filled(expr)] as const),
  ...DASHBOARD.annotations.list.map(({ expr }) => ['an annotation', filled(expr)] as const),
  ...VARIABLES.map((text) => [text, filled(/^label_values\((.*), (\w+)\)$/.exec(text)?.[1] ?? '')] as const),
];

function filled(expression: string): string {
  return expression.replaceAll('$__rate_interval', '1m').replace(/\$(job|instance|route)\b/g, '.*');
}

const HAS_PROMTOOL = hasTool('promtool');

/** Prometheus's own tool. */
function promtool(
  args: readonly string[],
  input?: string,
): { readonly status: number | null; readonly output: string } {
  const { status, stdout, stderr } = spawnSync('promtool', args, { cwd: FOLDER, encoding: 'utf8', input });
  return { status, output: stdout + stderr };
}

/** Labels by the name of a sample, and the values that each was seen with. */
function labelsIn(found: Scrape): ReadonlyMap<string, ReadonlyMap<string, ReadonlySet<string>>> {
  const all = new Map<string, Map<string, Set<string>>>();
  for (const { name, labels } of found.samples) {
    const known = all.get(name) ?? new Map<string, Set<string>>();
    all.set(name, known);
    for (const [label, value] of Object.entries(labels)) known.set(label, (known.get(label) ?? new Set()).add(value));
  }
  return all;
}

/** Given by Prometheus to every series. */
const GIVEN = ['job', 'instance'];

/** Labels that alerts show, by `{{ $labels.x }}`, and legends, by `{{x}}`. */
function shownIn(text: string): string[] {
  return [...text.matchAll(/\{\{ ?(?:\$labels\.)?(\w+) ?\}\}/g)].map(([, label = '']) => label);
}

describe('alerts.yaml', () => {
  it.runIf(HAS_PROMTOOL)('passes the check of promtool', () => {
    expect(promtool(['check', 'rules', 'alerts.yaml'])).toMatchObject({ status: 0 });
  });

  it.runIf(HAS_PROMTOOL)('fires when alerts.test.yaml says so, and not else', () => {
    expect(promtool(['test', 'rules', 'alerts.test.yaml'])).toMatchObject({ status: 0 });
  });

  it('says of each alert how bad it is, what is wrong, and at length what to do', () => {
    for (const { alert, labels, annotations } of RULES) {
      expect(['critical', 'warning'], alert).toContain(labels.severity);
      expect(annotations.summary, alert).toMatch(/^\S.{15,110}$/);
      expect(annotations.description.length, alert).toBeGreaterThan(120);
    }
  });

  it('leads from each alert to its section of the operations page, and from each section to an alert', () => {
    const [, after = ''] = textOf('docs/operations.md').split('\n## Alerts\n');
    const [section = ''] = after.split('\n## ');
    expect(section.match(/^### .*$/gm)).toEqual(RULES.map(({ alert }) => `### ${alert}`));
    for (const { alert, annotations } of RULES) {
      // As GitHub makes the anchor of a heading of one word.
      expect(annotations.runbook).toBe(`docs/operations.md#${alert.toLowerCase()}`);
    }
  });

  it('has each of its alerts both firing and not in alerts.test.yaml', () => {
    const text = textOf('deploy/monitoring/alerts.test.yaml');
    for (const { alert } of RULES) {
      expect(text).toContain(`alertname: ${alert} }`);
      expect(text).toMatch(new RegExp(`alertname="${alert}",alertstate="firing",|alertname: ${alert}\\n`));
    }
  });
});

describe('every expression', () => {
  it.runIf(HAS_PROMTOOL)('is valid PromQL', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'wakala-promql-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'rules.json');
    const rules = EXPRESSIONS.map(([, expr], i) => ({ record: `expression_${i}`, expr }));
    writeFileSync(file, JSON.stringify({ groups: [{ name: 'all', rules }] }));
    const { status, output } = promtool(['check', 'rules', '--lint=none', file]);
    expect({ status, output }).toEqual({
      status: 0,
      output: expect.stringContaining(`${rules.length} rules found`) as string,
    });
  });

  it('names metrics, labels and values that a running proxy gives, and shows labels that are left', async () => {
    const { proxy } = await startBusyProxy();
    const known = labelsIn(await scrape(proxy));
    const faults: string[] = [];
    for (const [where, expression] of EXPRESSIONS) {
      const { selectors, grouping } = readPromql(expression);
      if (selectors.length === 0) faults.push(`${where}: no metric in ${expression}`);
      for (const { name, matchers } of selectors) {
        if (name === 'up') continue;
        const labels = known.get(name);
        if (labels === undefined) faults.push(`${where}: no ${name}`);
        for (const { label, value } of matchers) {
          if (GIVEN.includes(label)) continue;
          const values = labels?.get(label);
          if (label === 'code' && values !== undefined) {
            // Not all of them happen in one run.
            if (value !== '.*' && !value.split('|').every((one) => statusOf(one) !== undefined))
              faults.push(`${where}: ${value} are no codes`);
          } else if (values === undefined) faults.push(`${where}: ${name} has no label ${label}`);
          else if (value !== '.*' && !value.split('|').every((one) => values.has(one)))
            faults.push(`${where}: ${label} of ${name} is never ${value}`);
        }
      }
      const all = new Set([...GIVEN, ...selectors.flatMap(({ name }) => [...(known.get(name)?.keys() ?? [])])]);
      for (const label of grouping) if (!all.has(label)) faults.push(`${where}: nothing has the label ${label}`);
    }
    expect(faults).toEqual([]);
  });

  it('keeps the labels that its legend or its words show', async () => {
    const { proxy } = await startBusyProxy();
    const known = labelsIn(await scrape(proxy));
    const texts = [
      ...TARGETS.map(([title, { expr, legendFormat }]) => [title, filled(expr), legendFormat] as const),
      ...RULES.map(({ alert, expr, annotations }) => [alert, expr, Object.values(annotations).join(' ')] as const),
    ];
    for (const [where, expression, text] of texts) {
      const { selectors, grouping } = readPromql(expression);
      const by = /\bby \(/.test(expression)
        ? grouping
        : selectors.flatMap(({ name }) => [...(known.get(name)?.keys() ?? [])]);
      const kept = /\bby \(/.test(expression) ? by : [...by, ...GIVEN];
      for (const label of shownIn(text)) expect(kept, `${where} shows ${label}`).toContain(label);
    }
  });
});

describe('grafana-dashboard.json', () => {
  it('asks the data source that its first variable names', () => {
    expect(DASHBOARD.templating.list[0]).toMatchObject({ name: 'datasource', type: 'datasource' });
    const asking = DASHBOARD.panels.filter(({ type }) => type !== 'row');
    for (const { title, datasource } of asking) expect(datasource?.uid, title).toBe('${datasource}');
  });

  it('has the rows that one looks for, and something of each metric', async () => {
    const rows = DASHBOARD.panels.filter(({ type }) => type === 'row').map(({ title }) => title);
    expect(rows).toEqual([
      'Traffic',
      'Errors',
      'Latency',
      'Tokens',
      'Refusals and second attempts',
      'Connections',
      'Process',
    ]);
    const { proxy } = await startBusyProxy();
    const asked = TARGETS.flatMap(([, { expr }]) => readPromql(filled(expr)).selectors.map(({ name }) => name));
    const plain = new Set(asked.map((name) => name.replace(/_(bucket|sum|count)$/, '')));
    expect((await scrape(proxy)).names.filter((name) => !plain.has(name))).toEqual([]);
  });
});

describe('/metrics', () => {
  it.runIf(HAS_PROMTOOL)('passes the check of promtool', async () => {
    const { proxy } = await startBusyProxy();
    expect(promtool(['check', 'metrics'], (await scrape(proxy)).text)).toEqual({ status: 0, output: '' });
  });
});

describe('readPromql', () => {
  it('finds metrics, matchers and grouping, and takes no function or word for a metric', () => {
    const expression =
      'sum by (a, le) (rate(x_total{b="1",c=~"2|3"}[5m] offset 1h)) / on (d) group_left (e) (y and z > 0.5) or vector(0)';
    expect(readPromql(expression)).toEqual({
      selectors: [
        {
          name: 'x_total',
          matchers: [
            { label: 'b', operator: '=', value: '1' },
            { label: 'c', operator: '=~', value: '2|3' },
          ],
        },
        { name: 'y', matchers: [] },
        { name: 'z', matchers: [] },
      ],
      grouping: ['a', 'le', 'd', 'e'],
    });
  });
});
