/** A line of what `/metrics` gives. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A metric with its samples, under the name that its HELP and TYPE lines give it. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly samples: Sample[];
}

const LINE = /^([a-z_]+)(?:\{(.*)\})? (-?[\d.e+-]+|[+-]Inf)$/;
const LABEL = /([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/gy;

/**
 * Reads the text format of Prometheus, strictly.
 * @throws Error for an invalid line, a sample of another metric, and a duplicate sample
 */
export function familiesOf(text: string): Family[] {
  const families: Family[] = [];
  const seen = new Set<string>();
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const [, name, help] = /^# HELP ([a-z_]+) (.+)$/.exec(line) ?? [];
    if (name !== undefined) {
      families.push({ name, help: help ?? '', type: '', samples: [] });
      continue;
    }
    const family = families.at(-1)!;
    const [, typed, type] = /^# TYPE ([a-z_]+) (counter|gauge|histogram)$/.exec(line) ?? [];
    if (typed === family.name && type !== undefined) {
      families[families.length - 1] = { ...family, type };
      continue;
    }
    const sample = sampleOf(line);
    const suffixes = family.type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
    if (!suffixes.some((suffix) => sample.name === family.name + suffix)) throw new Error(`out of place: ${line}`);
    const key = JSON.stringify([sample.name, Object.entries(sample.labels).sort()]);
    if (seen.has(key)) throw new Error(`twice: ${line}`);
    seen.add(key);
    family.samples.push(sample);
  }
  return families;
}

function sampleOf(line: string): Sample {
  const [, name, labels = '', value = ''] = LINE.exec(line) ?? [];
  if (name === undefined) throw new Error(`no sample: ${line}`);
  const pairs = [...labels.matchAll(LABEL)];
  if (pairs.map(([whole]) => whole).join('') !== labels) throw new Error(`no labels: ${line}`);
  const unescaped = (text = '') => text.replace(/\\(.)/g, (_, char: string) => (char === 'n' ? '\n' : char));
  return {
    name,
    labels: Object.fromEntries(pairs.map(([, key = '', text]) => [key, unescaped(text)])),
    value: Number(value.replace('Inf', 'Infinity')),
  };
}

/** A parsed scrape. */
export class Scrape {
  readonly text: string;
  readonly families: readonly Family[];

  constructor(text: string) {
    this.text = text;
    this.families = familiesOf(text);
  }

  get names(): string[] {
    return this.families.map(({ name }) => name);
  }

  get samples(): Sample[] {
    return this.families.flatMap(({ samples }) => samples);
  }

  /** The samples with this name that have all of these labels. */
  all(name: string, labels: Readonly<Record<string, string>> = {}): Sample[] {
    const wanted = Object.entries(labels);
    return this.samples.filter((one) => one.name === name && wanted.every(([key, text]) => one.labels[key] === text));
  }

  /** The one value; undefined if there is none. @throws Error if there are several */
  value(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    const found = this.all(name, labels);
    if (found.length > 1) throw new Error(`${found.length} samples of ${name}`);
    return found[0]?.value;
  }

  /** Values by the value of a label. */
  by(label: string, name: string, labels: Readonly<Record<string, string>> = {}): Record<string, number> {
    return Object.fromEntries(this.all(name, labels).map((one) => [one.labels[label] ?? '', one.value]));
  }
}
