/** What this proxy adds to the `Via` header of each request that it sends (RFC 9110 7.6.3). */
export const VIA = '1.1 wakala';

/** Whether a request with this `Via` header came through this proxy or another wakala. */
export function cameThroughWakala(via: string): boolean {
  return via.split(',').some((hop) => hop.trim().toLowerCase() === VIA);
}
