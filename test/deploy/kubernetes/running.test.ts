import { describe, expect, it } from 'vitest';
import { formatProblem } from '../../../src/errors.ts';
import { validateConfig } from '../../../src/config/load.ts';
import { ask, askJson, expectProblem } from '../../support/proxy-ask.ts';
import { hasTool } from '../../support/tools.ts';
import { configIn, FOLDERS, podOf, probesOf, rendered, wakalaIn } from './manifests.ts';
import { madeUp, PodProcess, secretsIn } from './pod-process.ts';

const HAS_KUBECTL = hasTool('kubectl');

/** As `wakala check` sees it in the pod. Files are read through their group, which takes nothing from their secrecy. */
function checked(text: string, { mode = 0, emulated = false } = {}) {
  const readFile = (name: string) => (name.endsWith('proxy.config.yaml') ? text : madeUp());
  const { problems, warnings } = validateConfig('/etc/wakala/proxy.config.yaml', {
    ...{ readFile, env: {}, emulated },
    fileMode: () => mode & ~0o040,
  });
  return { problems: problems.map(formatProblem), warnings: warnings.map(({ message }) => message) };
}

function secretMode(folder: string): number | undefined {
  const { volumes = [] } = podOf(wakalaIn(rendered(folder)).deployment);
  return volumes.find(({ secret }) => secret?.secretName === 'wakala')?.secret?.defaultMode;
}

describe.runIf(HAS_KUBECTL)('the configuration of', () => {
  it.each(FOLDERS)('%s passes the check', (folder) => {
    const emulated = folder === 'overlays/dev';
    const { problems, warnings } = checked(configIn(rendered(folder)), { mode: secretMode(folder) ?? 0, emulated });
    expect(problems).toEqual([]);
    // Said in the file itself: a managed Redis with TLS is better.
    const clear = expect.stringContaining('token_store.redis: is not encrypted on its way') as string;
    expect(warnings).toEqual(folder === 'overlays/gateway' ? [clear] : []);
  });

  it.each(['overlays/sidecar', 'overlays/gateway'])(
    '%s passes it in production, for its secrets are secret',
    (folder) => {
      const text = configIn(rendered(folder)).replace('environment: sandbox', 'environment: production');
      expect(checked(text, { mode: secretMode(folder) ?? 0o777 }).problems).toEqual([]);
      const { problems } = checked(text, { mode: 0o444 });
      expect(problems.length).toBeGreaterThan(0);
      for (const problem of problems) expect(problem).toContain('other users of this machine may read');
    },
  );

  it('dev does without any secret', () => {
    expect(secretsIn(configIn(rendered('overlays/dev')))).toEqual([]);
  });
});

describe.runIf(HAS_KUBECTL)('what the manifests run', { timeout: 60_000 }, () => {
  it.each(FOLDERS)('answers every probe of %s, and ends on SIGTERM', async (folder) => {
    const pod = await PodProcess.start(rendered(folder));
    const probes = [...probesOf(pod.container)];
    expect(probes.map(([name]) => name)).toEqual(['startupProbe', 'livenessProbe', 'readinessProbe']);
    for (const [name, { httpGet }] of probes) {
      const answer = await ask(pod.hostPort(httpGet?.port), httpGet?.path ?? '');
      expect([name, answer.status]).toEqual([name, 200]);
    }
    pod.cli.signal('SIGTERM');
    expect(await pod.cli.exited).toBe(0);
  });

  it.each(['overlays/sidecar', 'overlays/gateway'])('opens the dashboard of %s to its token alone', async (folder) => {
    const pod = await PodProcess.start(rendered(folder));
    expect((await ask(pod.adminPort, '/metrics')).status).toBe(200);
    expect((await ask(pod.adminPort, '/')).status).toBe(401);
    const headers = { authorization: `Bearer ${pod.secrets['admin_token'] ?? ''}` };
    expect((await ask(pod.adminPort, '/', { headers })).status).toBe(200);
  });

  it('lets the app beside it call without a key', async () => {
    const pod = await PodProcess.start(rendered('overlays/sidecar'));
    expectProblem(await ask(pod.port, '/nowhere'), { status: 404, code: 'no_route' });
  });

  it('lets only clients with a key call the gateway', async () => {
    const pod = await PodProcess.start(rendered('overlays/gateway'));
    const withKey = (key = '') => ask(pod.port, '/nowhere', { headers: { authorization: `Bearer ${key}` } });
    expectProblem(await ask(pod.port, '/nowhere'), { status: 401, code: 'client_unauthorized' });
    expectProblem(await withKey(pod.secrets['redis_password']), { status: 401, code: 'client_unauthorized' });
    expectProblem(await withKey(pod.secrets['client_shop']), { status: 404, code: 'no_route' });
    expectProblem(await withKey(pod.secrets['client_reports']), { status: 404, code: 'no_route' });
  });

  it('answers an app of dev from an emulator, and says so', async () => {
    const pod = await PodProcess.start(rendered('overlays/dev'));
    await pod.cli.until(/\[EMULATED\]/);
    const answer = await askJson(pod.port, '/paypack/transactions/cashin', { amount: 100, number: '0780000001' });
    expect([answer.status, answer.header('x-emulated-by'), answer.header('wakala-token')]).toEqual([
      200,
      'wakala',
      'fetched',
    ]);
    const headers = { authorization: 'Bearer emulated-admin-token' };
    expect((await ask(pod.adminPort, '/', { headers })).text).toContain('EMULATED');
    for (const host of ['wakala-emulated:8080', 'wakala-emulated.payments-dev.svc:8080', '10.244.0.7:8080']) {
      expect((await ask(pod.port, '/paypack/transactions/list', { headers: { host } })).status).toBe(200);
    }
  });
});

describe.runIf(HAS_KUBECTL)('a mounted ConfigMap or Secret that the kubelet swaps', { timeout: 60_000 }, () => {
  it('is taken over by the sidecar without a restart, and a bad one is not', async () => {
    const pod = await PodProcess.start(rendered('overlays/sidecar'));
    const readiness = async () => (await ask(pod.adminPort, '/readyz')).json();
    pod.reconfigure((text) => text.replace('provider: mpesa', 'provider: mpeza'));
    await pod.cli.until(/unknown provider/);
    await expect
      .poll(readiness, { timeout: 10_000 })
      .toMatchObject({ status: 'ready', detail: expect.any(String) as string });
    pod.reconfigure((text) => `${text}max_connections: 500\n`);
    await pod.cli.until(/"event":"config_reloaded"/);
    expect(await readiness()).toEqual({ status: 'ready' });
  });

  it('is taken over by the gateway if it is a key of a client', async () => {
    const pod = await PodProcess.start(rendered('overlays/gateway'));
    const next = madeUp();
    const withKey = (key: string) => ask(pod.port, '/nowhere', { headers: { authorization: `Bearer ${key}` } });
    expect((await withKey(next)).status).toBe(401);
    pod.secretFiles.swap({ ...pod.secrets, client_shop: next });
    await pod.cli.until(/"event":"config_reloaded"/);
    expect((await withKey(next)).status).toBe(404);
    expect((await withKey(pod.secrets['client_shop'] ?? '')).status).toBe(401);
  });
});
