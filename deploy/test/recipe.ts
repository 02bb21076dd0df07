import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { output } from './child.ts';

/** What a build of the image is made from. */
export interface Recipe {
  readonly context: string;
  readonly dockerfile: string;
  readonly builderTar: string;
  readonly runtimeTar: string;
  /** For the time of the build only; none of it is in the image. */
  readonly npmrc: string;
  /** The certificate authorities of this machine, at the path that `npmrc` names. */
  readonly certificates: string;
  readonly args: Readonly<Record<string, string>>;
}

/** Settings of npm that say how to reach the registry; all others have no say in what is installed. */
const ROUTES = /^(registry|@[^:=]+:registry|\/\/.*|proxy|https-proxy|noproxy|strict-ssl)\s*=/;

/** Writes an .npmrc with this machine's way to the registry. @returns the paths of it and of the CA bundle it names */
export async function npmSettings(directory: string): Promise<{ npmrc: string; certificates: string }> {
  const config = async (key: string) => {
    const value = await output(['npm', 'config', 'get', key]);
    return value === 'null' || value === 'undefined' ? '' : value;
  };
  const files = [await config('globalconfig'), await config('userconfig')];
  const lines = files.filter((file) => existsSync(file)).flatMap((file) => readFileSync(file, 'utf8').split('\n'));
  const { NODE_EXTRA_CA_CERTS: extra = '', SSL_CERT_FILE: bundle = '' } = process.env;
  const candidates = [await config('cafile'), extra, bundle, '/etc/ssl/certs/ca-certificates.crt'];
  const certificates = candidates.find((file) => file !== '' && existsSync(file));
  if (certificates === undefined) throw new Error('this machine has no bundle of certificate authorities');
  const settings = [...lines.filter((line) => ROUTES.test(line)), `registry=${await config('registry')}`];
  const npmrc = path.join(directory, 'npmrc');
  writeFileSync(npmrc, [...settings, `cafile=${certificates}`, ''].join('\n'), { mode: 0o600 });
  return { npmrc, certificates };
}
