import type { Provider } from '../providers/provider.ts';

/** One line that works when pasted into a POSIX shell. */
export function curlLine(base: string, call: Provider['samples']['call']): string {
  const url = quoted(base + call.path);
  if (call.json === undefined) return `curl -sS ${call.method === 'GET' ? '' : `-X ${call.method} `}${url}`;
  return `curl -sS ${url} -H 'content-type: application/json' -d ${quoted(JSON.stringify(call.json))}`;
}

function quoted(text: string): string {
  return /^[\w:/.\-?=&]+$/.test(text) && !text.includes('&') ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
