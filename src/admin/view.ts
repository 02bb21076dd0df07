import type { Config, RouteConfig } from '../config/config.ts';
import type { StoreStatus } from '../tokens/shared/open.ts';
import { type Problem, reloadProblem, routeAdvice, type State, storeProblem } from './advice.ts';
import { snapshotsOf } from './collect.ts';
import type { AdminContext } from './listener.ts';
import { mergedCredential, mergedRoute } from './merge.ts';
import type { CredentialSnapshot, ProcessSnapshot, RouteSnapshot } from './snapshot.ts';
import { stepsUntil, type Traffic, trafficOf } from './traffic.ts';

/** Where a credential's token stands: `lapsed` is one that ran out while nobody used it. */
export type TokenState = 'none' | 'asking' | 'valid' | 'lapsed' | 'fixed';

/** One route over all processes. */
export interface RouteView {
  readonly config: RouteConfig;
  readonly state: State;
  readonly problems: readonly Problem[];
  readonly tokenState: TokenState;
  /** Undefined until a process told of it. */
  readonly credential: CredentialSnapshot | undefined;
  readonly live: RouteSnapshot | undefined;
  readonly traffic: Traffic;
}

/** All that is known at one moment. */
export interface Overview {
  readonly atMs: number;
  readonly config: Config;
  readonly emulated: boolean;
  readonly version: string;
  readonly commit: string;
  readonly processes: readonly ProcessSnapshot[];
  /** In the order of the configuration. */
  readonly routes: readonly RouteView[];
  /** Of the process that is worst off; undefined where there is no store. */
  readonly tokenStore: StoreStatus | undefined;
  /** Of wakala as a whole. */
  readonly problems: readonly Problem[];
}

/** Asks every process and puts together what they tell. */
export async function overviewOf(context: AdminContext): Promise<Overview> {
  const processes = await snapshotsOf(context.processes());
  const config = context.config();
  const atMs = context.clock.now();
  const tokenStore = worstStore(processes);
  return {
    atMs,
    config,
    emulated: context.emulated,
    version: context.version,
    commit: context.commit,
    processes,
    routes: routeViews(config.routes, processes, atMs),
    tokenStore,
    problems: [reloadProblem(context.reloads()), storeProblem(tokenStore)].filter((problem) => problem !== undefined),
  };
}

function worstStore(processes: readonly ProcessSnapshot[]): StoreStatus | undefined {
  const stores = processes.flatMap(({ tokenStore }) => tokenStore ?? []);
  return stores.find(({ connected }) => !connected) ?? stores[0];
}

/** @param nowMs epoch milliseconds */
export function routeViews(
  routes: readonly RouteConfig[],
  processes: readonly ProcessSnapshot[],
  nowMs: number,
): readonly RouteView[] {
  const live = grouped(processes.flatMap((told) => told.routes));
  const credentials = grouped(processes.flatMap((told) => told.credentials));
  const merged = new Map([...credentials].map(([name, all]) => [name, mergedCredential(all)]));
  const steps = stepsUntil(nowMs, Math.min(...processes.map(({ startedAtMs }) => startedAtMs)));
  return routes.map((config) => {
    const told = live.get(config.name);
    const route = told && mergedRoute(told);
    const credential = merged.get(route?.credential ?? '');
    const judged = { route: config, credential, failure: route?.failure, nowMs };
    const tokenState = tokenStateOf(credential, nowMs);
    return { config, ...routeAdvice(judged), tokenState, credential, live: route, traffic: trafficOf(route, steps) };
  });
}

function grouped<T extends { readonly name: string }>(all: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const each of all) {
    const group = groups.get(each.name);
    if (group === undefined) groups.set(each.name, [each]);
    else group.push(each);
  }
  return groups;
}

function tokenStateOf(credential: CredentialSnapshot | undefined, nowMs: number): TokenState {
  if (credential?.fixed === true) return 'fixed';
  if (credential?.token !== undefined && credential.token.expiresAtMs > nowMs) return 'valid';
  if (credential?.asking === true) return 'asking';
  return credential?.token === undefined ? 'none' : 'lapsed';
}
