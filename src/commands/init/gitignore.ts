/**
 * Whether the rules of a .gitignore keep the file `.env` beside it out of Git. The last rule that matches wins, and `!`
 * turns it round (gitignore(5)). Character classes are not read: a rule with one counts as none that matches.
 */
export function ignoresEnv(rules: string): boolean {
  let ignored = false;
  for (const line of rules.split(/\r?\n/)) {
    const [, not, pattern = ''] = /^(!?)(?:\*\*\/|\/)?(.*)$/.exec(line.replace(/(?<! ) +$/, '')) ?? [];
    if (matchesEnv(pattern)) ignored = not !== '!';
  }
  return ignored;
}

function matchesEnv(pattern: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*+/g, '[^/]*')
    .replaceAll('?', '[^/]');
  return new RegExp(`^${source}$`).test('.env');
}
