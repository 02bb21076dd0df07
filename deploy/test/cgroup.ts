import { existsSync, readFileSync } from 'node:fs';
import type { Memory } from './engine.ts';

/** What the kernel counts of the control group that a process is in; undefined if it has no limit. Versions 1 and 2. */
export function cgroupMemory(pid: number): Memory | undefined {
  const groups = readFileSync(`/proc/${pid}/cgroup`, 'utf8');
  const [, first] = /^\d+:memory:(.*)$/m.exec(groups) ?? [];
  if (first !== undefined) {
    const read = reader(`/sys/fs/cgroup/memory${first}`);
    return limited({
      limit: Number(read('memory.limit_in_bytes')),
      peak: Number(read('memory.max_usage_in_bytes')),
      killed: count(read('memory.oom_control'), 'oom_kill'),
    });
  }
  const [, second = ''] = /^0::(.*)$/m.exec(groups) ?? [];
  const read = reader(`/sys/fs/cgroup${second}`);
  return limited({
    limit: Number(read('memory.max')),
    peak: Number(read('memory.peak') || read('memory.current')),
    killed: count(read('memory.events'), 'oom_kill'),
  });
}

function reader(directory: string): (name: string) => string {
  return (name) => (existsSync(`${directory}/${name}`) ? readFileSync(`${directory}/${name}`, 'utf8').trim() : '');
}

/** Without a limit there is `max`, or a number beyond any machine's memory. */
function limited(memory: Memory): Memory | undefined {
  return memory.limit > 0 && memory.limit < 2 ** 50 ? memory : undefined;
}

function count(text: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
}
