import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** Files of a self-signed certificate for `localhost` and 127.0.0.1. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
}

export function makeCertificate(directory: string, name: string): Certificate {
  const certificate = { certFile: join(directory, `${name}.pem`), keyFile: join(directory, `${name}.key`) };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', certificate.keyFile];
  const names = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const args = ['req', '-x509', '-days', '30', ...key, ...names, '-out', certificate.certFile];
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  return certificate;
}
