import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Has promtool check a file with this text. @returns what it complains of, empty if nothing */
export function promtoolCheck(what: readonly string[], text: string): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'wakala-prometheus-'));
  try {
    writeFileSync(path.join(folder, 'block.yaml'), text);
    const { status, stdout, stderr } = spawnSync('promtool', ['check', ...what, 'block.yaml'], {
      cwd: folder,
      encoding: 'utf8',
    });
    return status === 0 ? '' : stdout + stderr;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
