import type { ListenAddress } from '../config/config.ts';

/** Whether a Host header is one: a name or an address, perhaps with a port. */
export function isHost(text: string): boolean {
  return /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i.test(text);
}

export function formatHost({ host, port }: ListenAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
