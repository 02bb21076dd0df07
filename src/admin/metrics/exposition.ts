import { Counter, Gauge, type Metric, Registry } from 'prom-client';

/** Metrics that are made for one scrape: whoever counts knows nothing of Prometheus. */
export class Exposition {
  readonly #registry = new Registry();

  /** Empty, or 0 if it has no labels; `name` ends in `_total`. */
  counter<T extends string>(name: string, help: string, labelNames: readonly T[] = []): Counter<T> {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }

  /** Empty, or 0 if it has no labels. */
  gauge<T extends string>(name: string, help: string, labelNames: readonly T[] = []): Gauge<T> {
    return new Gauge({ name, help, labelNames, registers: [this.#registry] });
  }

  histogram(histogram: CountedHistogram): void {
    // All that the registry asks of a metric is its name and what `get` gives.
    this.#registry.registerMetric(histogram as unknown as Metric);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

interface Sample {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** A histogram of what was counted already: prom-client's own takes one observation after the other. */
export class CountedHistogram {
  readonly name: string;
  readonly help: string;
  readonly #samples: Sample[] = [];

  constructor(name: string, help: string) {
    this.name = name;
    this.help = help;
  }

  /** `upTo`: how many were at most as large as each bound, in the unit of the metric. */
  add(labels: Sample['labels'], upTo: ReadonlyMap<number, number>, count: number, sum: number): void {
    const { name } = this;
    const bucket = (le: string | number, value: number) =>
      this.#samples.push({ metricName: `${name}_bucket`, labels: { ...labels, le }, value });
    for (const [bound, value] of upTo) bucket(bound, value);
    bucket('+Inf', count);
    this.#samples.push({ metricName: `${name}_sum`, labels, value: sum });
    this.#samples.push({ metricName: `${name}_count`, labels, value: count });
  }

  async get() {
    return { name: this.name, help: this.help, type: 'histogram', values: this.#samples };
  }
}
