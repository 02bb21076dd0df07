/**
 * A text without the characters that steer a terminal or turn the direction of writing: providers and certificates
 * name themselves as they like.
 */
export function escapeControls(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, '?');
}
