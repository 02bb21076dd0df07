import { type CredentialField, type Environment, isRequested, type Provider } from '../providers/provider.ts';
import { placeholdersIn } from '../providers/template.ts';

/** What is wrong, and what to do about it, in sentences for the person who runs Wakala. */
export interface Diagnosis {
  /** A stable name of the case. */
  readonly code: string;
  readonly what: string;
  readonly hint: string;
}

/** What is known about a failure besides its reason. Whatever is left out is left out of the text. */
export interface DiagnosisContext {
  /** Which server failed. Its failures have different names and different consequences. */
  readonly server: 'upstream' | 'token endpoint';
  /** Its host, for reasons that do not name it. With its port if that is not the usual one. */
  readonly host?: string | undefined;
  /** The configuration key that says where the server is. */
  readonly key?: 'upstream' | 'auth_server' | 'token_endpoint' | 'issuer' | undefined;
  /** Name of the route, for the command line of `wakala doctor`. Omitted in doctor. */
  readonly route?: string | undefined;
  /** The provider's title, if it names one provider. */
  readonly provider?: string | undefined;
  readonly environment?: Environment | undefined;
  /** The credentials that were sent: their names in backticks, with where they come from if that is known. */
  readonly credentials?: readonly string[] | undefined;
  /** Whether the provider's sandbox accepts credentials that its production host refused. */
  readonly worksInSandbox?: boolean | undefined;
  /** What the provider said about a refusal, without secrets. */
  readonly providerSaid?: string | undefined;
  /** What the server's certificate says, if its certificate was looked at. */
  readonly certificate?: CertificateFacts | undefined;
}

export interface CertificateFacts {
  /** The names that it is for, as text. */
  readonly names: string;
  readonly issuer: string | undefined;
  /** Epoch milliseconds; NaN if the certificate does not say. */
  readonly validFromMs: number;
  readonly validUntilMs: number;
}

/** What a diagnosis needs to know about a route, or about the token requests of a credential. */
interface DiagnosedRoute {
  readonly name?: string;
  readonly provider: Provider;
  readonly environment?: Environment;
  readonly authServer: string;
}

/** The URL of a route's token request, placeholders included; undefined if no token is requested. */
export function tokenUrl({
  provider,
  authServer,
}: Pick<DiagnosedRoute, 'provider' | 'authServer'>): string | undefined {
  if (!isRequested(provider.token)) return undefined;
  const { path } = provider.token.request;
  return isAbsoluteUrl(path) ? path : authServer + path;
}

export function isAbsoluteUrl(path: string): boolean {
  return /^https?:\/\//i.test(path);
}

/** The credentials that the token request sends. API calls may use others. */
export function sentCredentials({ token, credentials }: Provider): readonly CredentialField[] {
  if (!isRequested(token)) return [];
  const sent = new Set(placeholdersIn(JSON.stringify(token.request)));
  return credentials.filter(({ name }) => sent.has(name));
}

/** The context of a failed token request of this route. */
export function tokenContext(route: DiagnosedRoute): DiagnosisContext {
  const { name, provider, environment, authServer } = route;
  const oauth2 = isRequested(provider.token) ? provider.token.request.oauth2 : undefined;
  const url = tokenUrl(route) ?? authServer;
  return {
    server: 'token endpoint',
    host: new URL(URL.canParse(url) ? url : authServer).host,
    key: oauth2 === undefined ? 'auth_server' : oauth2.issuer === undefined ? 'token_endpoint' : 'issuer',
    route: name,
    // A provider without known hosts has a title that names no server, such as "Any OAuth 2.0 server".
    provider: provider.hosts === undefined ? undefined : provider.title,
    environment,
    credentials: sentCredentials(provider).map(({ name: field, key = field }) => `\`${key}\``),
  };
}
