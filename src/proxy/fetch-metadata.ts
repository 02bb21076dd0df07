import { headerOf } from './headers.ts';

/**
 * Where a browser says that a request comes from (https://www.w3.org/TR/fetch-metadata/): a page of another origin, its
 * own user or a page from here, or nothing. Pages cannot set these headers. `fetch` of Node.js sends
 * `sec-fetch-mode: cors` and nothing else of the kind.
 */
export function requestedBy(raw: readonly string[]): 'foreign page' | 'own' | undefined {
  let isOwn = false;
  let isPage = false;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    if (name.length !== 14) continue;
    switch (name.toLowerCase()) {
      case 'sec-fetch-site':
        if (!/^(none|same-origin)$/i.test(raw[i + 1] ?? '')) return 'foreign page';
        isOwn = true;
        break;
      case 'sec-fetch-mode':
        isPage ||= raw[i + 1]?.toLowerCase() !== 'cors';
        break;
      case 'sec-fetch-dest':
        isPage ||= raw[i + 1]?.toLowerCase() !== 'empty';
        break;
    }
  }
  if (isOwn) return 'own';
  return isPage ? 'foreign page' : undefined;
}

/**
 * Whether a browser sent this, and a page may be behind it. Every browser calls itself Mozilla. With a GET or HEAD it
 * need not send Origin; with any other method it does.
 */
export function isBrowserGet(method: string | undefined, raw: readonly string[]): boolean {
  return (method === 'GET' || method === 'HEAD') && /^mozilla\//i.test(headerOf(raw, 'user-agent') ?? '');
}
