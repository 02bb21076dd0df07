/** The time in a format of `now`. @param zone offset such as `+03:00`; undefined: UTC */
export function formatTime(_timeMs: number, _format: string, _zone: string | undefined): string {
  throw new Error('not written yet');
}

/** What is wrong with a format; undefined if nothing is. */
export function timeFormatError(_format: string): string | undefined {
  throw new Error('not written yet');
}
