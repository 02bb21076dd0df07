/** A server, or an address to listen on. */
export interface HostPort {
  /** A name or an IP address, without brackets. */
  readonly host: string;
  readonly port: number;
}

/** `host:port`, an IPv6 address in brackets. */
export function formatHostPort({ host, port }: HostPort): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * The parts of `host`, `host:port`, `[address]` or `[address]:port`. They are not checked. Undefined for any other text,
 * such as an IPv6 address without brackets.
 */
export function splitHostPort(
  text: string,
): { readonly host: string; readonly hasBrackets: boolean; readonly port: number | undefined } | undefined {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::([0-9]+))?$/.exec(text);
  if (match === null) return undefined;
  const [, inBrackets, plain = '', port] = match;
  return {
    host: inBrackets ?? plain,
    hasBrackets: inBrackets !== undefined,
    port: port === undefined ? undefined : Number(port),
  };
}
