/** What an expression asks of one metric. */
export interface Selector {
  readonly name: string;
  /** The matchers in its braces. */
  readonly matchers: readonly { readonly label: string; readonly operator: string; readonly value: string }[];
}

export interface Reading {
  readonly selectors: readonly Selector[];
  /** Labels that are grouped or joined by. */
  readonly grouping: readonly string[];
}

const TOKEN = /"((?:[^"\\]|\\.)*)"|([a-zA-Z_:][\w:]*)|=~|!~|!=|[=<>]=?|\d[\w.]*|[^\s]/g;
const GROUPING = new Set(['by', 'without', 'on', 'ignoring', 'group_left', 'group_right']);
const WORDS = new Set(['and', 'or', 'unless', 'bool', 'offset', 'inf', 'nan', ...GROUPING]);

/** The metrics and labels that an expression in PromQL names. That it is valid is for promtool to say. */
export function readPromql(expression: string): Reading {
  const tokens = [...expression.matchAll(TOKEN)].map(([text]) => text);
  const selectors: Selector[] = [];
  const grouping: string[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    if (token === '[') i = tokens.indexOf(']', i);
    else if (GROUPING.has(token) && tokens[i + 1] === '(') {
      const end = tokens.indexOf(')', i);
      grouping.push(...tokens.slice(i + 2, end).filter((one) => one !== ','));
      i = end;
    } else if (/^[a-zA-Z_:]/.test(token) && !WORDS.has(token) && tokens[i + 1] !== '(') {
      const end = tokens[i + 1] === '{' ? tokens.indexOf('}', i) : i;
      const inside = tokens.slice(i + 2, Math.max(end, i + 2));
      // An aggregation may have its grouping first: `sum by (x) (...)`.
      if (!GROUPING.has(tokens[i + 1] ?? '') || !AGGREGATIONS.has(token)) {
        selectors.push({ name: token, matchers: matchersOf(inside) });
      }
      i = end;
    }
  }
  return { selectors, grouping };
}

const AGGREGATIONS = new Set(['sum', 'min', 'max', 'avg', 'count', 'topk', 'bottomk', 'quantile', 'group']);

function matchersOf(tokens: readonly string[]) {
  const matchers = [];
  for (let i = 0; i < tokens.length; i += 4) {
    const [label = '', operator = '', value = ''] = tokens.slice(i, i + 3);
    matchers.push({ label, operator, value: value.slice(1, -1) });
  }
  return matchers;
}
