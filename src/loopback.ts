/** True for an IP address of this machine's loopback range: 127.0.0.0/8 or `::1`, in brackets or not. */
export function isLoopbackAddress(address: string): boolean {
  const bare = address.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  return /^127(\.\d{1,3}){3}$/.test(bare) || bare === '::1' || /^::ffff:127(\.\d{1,3}){3}$/.test(bare);
}

/** True for a host name that stands for this machine (RFC 6761 6.3) or a loopback address. */
export function isLoopbackName(name: string): boolean {
  const lower = name.toLowerCase();
  return lower === 'localhost' || lower.endsWith('.localhost') || isLoopbackAddress(lower);
}
