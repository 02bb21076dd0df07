/** Percent escapes undone as often as there are any, so that no number of servers behind each other sees more. */
export function decodedFully(path: string): string {
  if (!path.includes('%')) return path;
  // What an escape turns into may complete the one before it: undone on a stack, in one pass.
  const decoded: string[] = [];
  for (const character of path) {
    decoded.push(character);
    for (let hex = escapeAtEnd(decoded); hex !== undefined; hex = escapeAtEnd(decoded)) {
      decoded.splice(-3, 3, String.fromCharCode(parseInt(hex, 16)));
    }
  }
  return decoded.join('');
}

function escapeAtEnd(characters: readonly string[]): string | undefined {
  if (characters.at(-3) !== '%') return undefined;
  const hex = `${characters.at(-2)}${characters.at(-1)}`;
  return /^[0-9a-f]{2}$/i.test(hex) ? hex : undefined;
}
