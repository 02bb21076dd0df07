import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { statusOf } from '../../src/errors.ts';
import { scrape, startBusyProxy } from '../admin/metrics-scenario.ts';
import { textOf } from '../docs/documents.ts';
import { hasTool } from '../support/tools.ts';
import { checkExpressions, groupingIn, matchersIn, metricsIn, promtool } from './prometheus.ts';

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

/** Given by Prometheus to every series. */
const GIVEN = ['job', 'instance'];

/** Labels that alerts show, by `{{ $labels.x }}`, and legends, by `{{x}}`. */
function shownIn(text: string): string[] {
  return [...text.matchAll(/\{\{ ?(?:\$labels\.)?(\w+) ?\}\}/g)].map(([, label = '']) => label);
}

describe('alerts.yaml', () => {
  it.runIf(HAS_PROMTOOL)('passes the check of promtool', () => {
    expect(promtool(['check', 'rules', 'alerts.yaml'])).toBe('');
  });

  it.runIf(HAS_PROMTOOL)('fires when alerts.test.yaml says so, and not else', () => {
    expect(promtool(['test', 'rules', 'alerts.test.yaml'])).toBe('');
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
    expect(checkExpressions(EXPRESSIONS.map(([, expr]) => expr))).toBe('');
  });

  it('names metrics, labels and values that a running proxy gives, and has a panel for each metric', async () => {
    const { proxy } = await startBusyProxy();
    const known = await scrape(proxy);
    if (HAS_PROMTOOL) expect(promtool(['check', 'metrics'], known.text)).toBe('');
    const names = new Set(known.samples.map(({ name }) => name));
    const values = new Map<string, Set<string>>(GIVEN.map((label) => [label, new Set()]));
    for (const [label, value] of known.samples.flatMap(({ labels }) => Object.entries(labels))) {
      values.set(label, (values.get(label) ?? new Set()).add(value));
    }
    // Not all of them happen in one run.
    const isKnown = (label: string, value: string) =>
      GIVEN.includes(label) ||
      values.get(label)?.has(value) === true ||
      (label === 'code' && statusOf(value) !== undefined);
    const faults = EXPRESSIONS.flatMap(([where, expression]) => [
      ...(metricsIn(expression).length === 0 && !/\bup\b/.test(expression) ? [`${where}: no metric`] : []),
      ...metricsIn(expression)
        .filter((name) => !names.has(name))
        .map((name) => `${where}: there is no ${name}`),
      ...[...matchersIn(expression).map(({ label }) => label), ...groupingIn(expression)]
        .filter((label) => !values.has(label))
        .map((label) => `${where}: nothing has the label ${label}`),
      ...matchersIn(expression).flatMap(({ label, values: wanted }) =>
        wanted.filter((value) => !isKnown(label, value)).map((value) => `${where}: ${label} is never ${value}`),
      ),
    ]);
    expect(faults).toEqual([]);
    const shown = new Set(
      TARGETS.flatMap(([, { expr }]) => metricsIn(expr)).map((name) => name.replace(/_(bucket|sum|count)$/, '')),
    );
    expect(known.names.filter((name) => !shown.has(name))).toEqual([]);
  });

  it('keeps the labels that its legend or its words show', () => {
    const texts = [
      ...TARGETS.map(([title, { expr, legendFormat }]) => [title, expr, legendFormat] as const),
      ...RULES.map(({ alert, expr, annotations }) => [alert, expr, Object.values(annotations).join(' ')] as const),
    ];
    for (const [where, expression, text] of texts.filter(([, expr]) => /\bby \(/.test(expr))) {
      for (const label of shownIn(text)) expect(groupingIn(expression), `${where} shows ${label}`).toContain(label);
    }
  });
});

describe('grafana-dashboard.json', () => {
  it('asks the data source that its first variable names', () => {
    expect(DASHBOARD.templating.list[0]).toMatchObject({ name: 'datasource', type: 'datasource' });
    const asking = DASHBOARD.panels.filter(({ type }) => type !== 'row');
    for (const { title, datasource } of asking) expect(datasource?.uid, title).toBe('${datasource}');
  });

  it('has the rows that one looks for', () => {
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
  });
});
