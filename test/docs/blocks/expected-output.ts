/** Members of JSON whose values are compared too: they say what happened. */
const TELLING = ['event', 'code', 'outcome'];

/** What differs from run to run, and the word it is compared as. */
const VARYING: readonly (readonly [pattern: RegExp, word: string])[] = [
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, '<id>'],
  [/\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?/g, '<time>'],
  [/\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} [\d:]{8} GMT/g, '<time>'],
  [/\b\d{4}-\d\d-\d\d\b/g, '<time>'],
  [/\b\d\d:\d\d:\d\d(\.\d+)?\b/g, '<time>'],
  // With a space alone: `timeout 10s` is a setting.
  [/\b\d+(\.\d+)? (ms|s|seconds?|min|minutes?|h|hours?)\b/g, '<duration>'],
  // Of a token, a request, or a commit. A number of eight digits is one as well.
  [/\b[0-9a-f]{8}\b/g, '<fingerprint>'],
  [/\((?=\w*\d)[0-9a-f]{7,12}\)/g, '(<commit>)'],
  [/(?<=[\d\w\]]):(3276[89]|327[7-9]\d|32[89]\d\d|3[3-9]\d{3}|[4-6]\d{4})\b/g, ':<port>'],
  [/(?<=\S) {2,}(?=\S)/g, '  '],
];

/**
 * Checks that a program printed what a block shows: each line in that order, `...` for what is left out.
 * @throws Error that names the first line which is not there
 */
export function expectOutput(shown: string, printed: string): void {
  const actual = printed.split('\n').map(comparable);
  let at = 0;
  for (const line of shown.split('\n').map(comparable)) {
    if (line === '' || line === '...') continue;
    const found = actual.findIndex((candidate, i) => i >= at && matches(line, candidate));
    if (found === -1) throw new Error(`the output has no line ${JSON.stringify(line)} after line ${at}:\n${printed}`);
    at = found + 1;
  }
}

/** Checks that the last JSON a program printed has the keys of a block of JSON. @throws Error that says which differ */
export function expectJson(shown: string, printed: string): void {
  const expected: unknown = JSON.parse(shown);
  const start = printed.search(/^[[{]/m);
  const actual = [printed, printed.slice(start), printed.trimEnd().split('\n').at(-1) ?? ''].map(parsed);
  const found = actual.find((value) => value !== undefined);
  if (found === undefined) throw new Error(`no JSON was printed:\n${printed}`);
  const difference = keysDiffer(expected, found.value, '');
  if (difference !== undefined) throw new Error(`${difference}:\n${printed}`);
}

function comparable(line: string): string {
  const plain = line.trimEnd();
  if (/^\s*[[{]/.test(plain) && parsed(plain) !== undefined) return plain;
  return VARYING.reduce((text, [pattern, word]) => text.replace(pattern, word), plain);
}

function matches(shown: string, actual: string): boolean {
  const expected = /^\s*[[{]/.test(shown) ? parsed(shown) : undefined;
  if (expected !== undefined) {
    const found = parsed(actual);
    return found !== undefined && keysDiffer(expected.value, found.value, '') === undefined;
  }
  if (!shown.includes('...')) return shown === actual;
  const pattern = shown.split('...').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  return new RegExp(`^${pattern.join('.*')}$`).test(actual);
}

function parsed(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

/** Where two values have not the same keys, in words. Of a list, each item shown must be like one that is there. */
function keysDiffer(expected: unknown, actual: unknown, where: string): string | undefined {
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual)) return `${where || 'it'} is no list`;
    const odd = expected.findIndex((item) => !actual.some((one) => keysDiffer(item, one, '') === undefined));
    return odd === -1 ? undefined : `${where}[${odd}] is like none that is there`;
  }
  if (typeof expected !== 'object' || expected === null) {
    return typeof actual === 'object' && actual !== null && expected !== null
      ? `${where} is no plain value`
      : undefined;
  }
  if (typeof actual !== 'object' || actual === null || Array.isArray(actual)) return `${where || 'it'} is no object`;
  const [shown, real] = [Object.keys(expected), Object.keys(actual)];
  const lost = shown.find((key) => !real.includes(key));
  if (lost !== undefined) return `${where}.${lost} is not there`;
  const more = real.find((key) => !shown.includes(key));
  if (more !== undefined) return `${where}.${more} is not shown`;
  for (const key of shown) {
    const [wanted, got] = [valueOf(expected, key), valueOf(actual, key)];
    if (TELLING.includes(key) && wanted !== got) return `${where}.${key} is ${String(got)}`;
    const below = keysDiffer(wanted, got, `${where}.${key}`);
    if (below !== undefined) return below;
  }
  return undefined;
}

function valueOf(object: object, key: string): unknown {
  return (object as Record<string, unknown>)[key];
}
