import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import { valueAt } from '../json.ts';
import type { DeadTokenRule } from '../providers/provider.ts';

/** What a status alone says: `dead`, `alive`, or that the body must be looked at. */
export type StatusVerdict = 'dead' | 'alive' | 'look';

/** Longest that a compressed body may become when it is looked at. Bytes. */
const MAX_DECODED = 64 * 1024;

/** A provider's dead-token rules, ready to ask. */
export class DeadTokenRules {
  readonly #byStatus = new Map<number, DeadTokenRule[]>();

  constructor(rules: readonly DeadTokenRule[]) {
    for (const rule of rules) {
      const same = this.#byStatus.get(rule.status);
      if (same === undefined) this.#byStatus.set(rule.status, [rule]);
      else same.push(rule);
    }
  }

  status(status: number): StatusVerdict {
    const rules = this.#byStatus.get(status);
    if (rules === undefined) return 'alive';
    return rules.some((rule) => rule.body === undefined) ? 'dead' : 'look';
  }

  /** `body` is whole and as it came; `encoding` is its Content-Encoding. */
  body(status: number, body: Buffer, encoding: string | undefined): boolean {
    let json: unknown;
    try {
      json = JSON.parse(decoded(body, encoding).toString('utf8'));
    } catch {
      return false;
    }
    return (this.#byStatus.get(status) ?? []).some((rule) =>
      Object.entries(rule.body ?? {}).every(([path, value]) => valueAt(json, path) === value),
    );
  }
}

function decoded(body: Buffer, encoding: string | undefined): Buffer {
  const limit = { maxOutputLength: MAX_DECODED };
  switch (encoding?.trim().toLowerCase()) {
    case 'gzip':
    case 'x-gzip':
      return gunzipSync(body, limit);
    case 'deflate':
      return inflateSync(body, limit);
    case 'br':
      return brotliDecompressSync(body, limit);
    default:
      return body;
  }
}
