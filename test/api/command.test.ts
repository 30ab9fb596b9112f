import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tokenOf } from '../../box/api/accounts.ts';
import { type ApiServer, startApiServer } from '../../box/api/api-server.ts';
import { freePort } from '../../box/api/free-port.ts';
import { repoDir } from '../../box/paths.ts';
import { connectCluster } from '../../command/frame/cluster.ts';
import { run } from '../../command/program.ts';

// The command against a real API server, with the rights of an administrator and of a user who has
// none.

const exec = promisify(execFile);

/** More than one page of a list. */
const scopeCount = 501;
const scopes = '/apis/lazyscope.io/v1alpha1/namespaces/shop/workloadscopes';
const rbac = '/apis/rbac.authorization.k8s.io/v1';

let api: ApiServer;
let folder: string;

beforeAll(async () => {
  api = await startApiServer(console.error);
  folder = await mkdtemp(join(tmpdir(), 'lazyscope-command-'));
  const metadata = { name: 'shop', labels: { 'lazyscope.io/mode': 'observe' } };
  await api.call('POST', '/api/v1/namespaces', { metadata });
  await api.call('POST', '/api/v1/namespaces', { metadata: { name: 'users' } });
  const names = Array.from({ length: scopeCount }, (_, i) => `workload-${i}`).values();
  const worker = async () => {
    for (const name of names)
      await api.call('POST', scopes, {
        ...{ apiVersion: 'lazyscope.io/v1alpha1', kind: 'WorkloadScope', metadata: { name } },
        spec: { selector: { matchLabels: { app: name } } },
      });
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  await writeConfig('admin', 'bench');
  const account = { namespace: 'users', name: 'reader' };
  await writeConfig('reader', await tokenOf(api, account));
});
afterAll(async () => {
  await api?.stop();
  await rm(folder, { recursive: true, force: true });
});

const serverOf = () => `https://127.0.0.1:${api.environment.KUBERNETES_SERVICE_PORT}`;

async function writeConfig(
  user: string,
  token: string,
  server = serverOf(),
  trust: object = { 'certificate-authority': join(api.account, 'ca.crt') },
): Promise<void> {
  const cluster = { server, ...trust };
  const config = {
    ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'here' },
    clusters: [{ name: 'box', cluster }],
    users: [{ name: user, user: { token } }],
    contexts: [{ name: 'here', context: { cluster: 'box', user, namespace: 'shop' } }],
  };
  await writeFile(join(folder, user), JSON.stringify(config));
}

async function lazyscope(user: string, line: string) {
  let out = '';
  let err = '';
  const code = await run([...line.split(' '), '--kubeconfig', join(folder, user)], {
    program: 'lazyscope',
    out: {
      write(text) {
        out += text;
      },
      warn(text) {
        err += text;
      },
      paint: (text) => text,
      isTerminal: false,
    },
    connect: connectCluster,
    now: Date.now,
    interrupted: async () => undefined,
  });
  return { code, out, err };
}

test('a certificate that nobody vouches for is named with its remedy', async () => {
  await writeConfig('stranger', 'bench', serverOf(), {});
  const { code, err } = await lazyscope('stranger', 'status');
  expect(code).toBe(1);
  expect(err).toMatch(
    /no answer from https:\S+: .*(self-signed|verify the first|issuer) certificate/,
  );
  expect(err).toContain('--certificate-authority=FILE');
});

const modeOfShop = async () => {
  type Labelled = { metadata: { labels: Record<string, string> } };
  const { metadata } = await api.call<Labelled>('GET', '/api/v1/namespaces/shop');
  return metadata.labels['lazyscope.io/mode'];
};

test('a list of more than one page is read to its end, in the namespace of the context', async () => {
  const { code, out } = await lazyscope('admin', 'status -o json');
  expect(code).toBe(0);
  expect(JSON.parse(out).total.workloads).toBe(scopeCount);
});

test('a dry run changes nothing, and the same without it does', async () => {
  expect(await lazyscope('admin', 'mode enforce --dry-run')).toMatchObject({ code: 0, err: '' });
  expect(await modeOfShop()).toBe('observe');
  expect(await lazyscope('admin', 'mode enforce')).toMatchObject({ code: 0, err: '' });
  expect(await modeOfShop()).toBe('enforce');
});

test('a pin is written, and what the API server refuses is said in its words', async () => {
  type Scope = { spec: { pins: string[]; selector: object } };
  expect(await lazyscope('admin', 'pin workload-1 shop/cart.example.com')).toMatchObject({
    code: 0,
  });
  const { spec } = await api.call<Scope>('GET', `${scopes}/workload-1`);
  expect(spec).toEqual({
    pins: ['shop/cart.example.com'],
    selector: { matchLabels: { app: 'workload-1' } },
  });
  const many = Array.from({ length: 1_001 }, (_, i) => `shop/host-${i}`).join(' ');
  const refused = await lazyscope('admin', `pin workload-1 ${many}`);
  expect(refused.code).toBe(1);
  expect(refused.err).toContain('must have at most 1000 items');
});

test('an object that changed since it was read is not overwritten', async () => {
  const cluster = await connectCluster({ kubeconfig: join(folder, 'admin') });
  const resource = { group: 'lazyscope.io', version: 'v1alpha1', plural: 'workloadscopes' };
  const body = { metadata: { resourceVersion: '1' }, spec: { mode: 'off' } };
  const target = { namespace: 'shop', name: 'workload-2' };
  await expect(cluster.patch(resource, target, body, false)).rejects.toThrow(
    'somebody changed it at the same time (409)',
  );
  cluster.close();
});

test('a missing right is named, and the command of the remedy grants it', async () => {
  const { code, out, err } = await lazyscope('reader', 'status');
  expect([code, out]).toEqual([1, '']);
  expect(err).toContain(
    'you lack the right to list workloadscopes.lazyscope.io in namespace shop (403)',
  );
  const [, name, verb, resource = ''] =
    /kubectl create role -n shop (\S+) --verb=(\S+) --resource=(\S+)/.exec(err) ?? [];
  const [plural, ...group] = resource.split('.');
  await api.call('POST', `${rbac}/namespaces/shop/roles`, {
    metadata: { name },
    rules: [{ verbs: [verb], resources: [plural], apiGroups: [group.join('.')] }],
  });
  await api.call('POST', `${rbac}/namespaces/shop/rolebindings`, {
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
    subjects: [{ kind: 'ServiceAccount', name: 'reader', namespace: 'users' }],
  });
  await expect.poll(async () => (await lazyscope('reader', 'status')).code).toBe(0);
  const { err: other } = await lazyscope('reader', 'status -A');
  expect(other).toContain('right to list workloadscopes.lazyscope.io in the whole cluster (403)');
  expect(other).toContain('or name a namespace that you may read (-n)');
  const { err: write } = await lazyscope('reader', 'mode off');
  expect(write).toContain('you lack the right to get namespaces');
});

test('a cluster that does not answer, and credentials that it does not take, are told apart', async () => {
  await writeConfig('nobody', 'not-a-token');
  expect((await lazyscope('nobody', 'status')).err).toContain('does not accept your credentials');
  const closed = `https://127.0.0.1:${await freePort()}`;
  await writeConfig('lost', 'bench', closed);
  expect((await lazyscope('lost', 'status')).err).toContain(`no answer from ${closed}`);
});

test('a token of the account that looks is given to those who may create it, and to nobody else', async () => {
  const account = { namespace: 'users', name: 'lazyscope-viewer' };
  await api.call('POST', '/api/v1/namespaces/users/serviceaccounts', {
    metadata: { name: account.name },
  });
  const admin = await connectCluster({ kubeconfig: join(folder, 'admin') });
  const review = await api.call<{ status: object }>(
    'POST',
    '/apis/authentication.k8s.io/v1/tokenreviews',
    { spec: { token: await admin.createToken(account, 3_600) } },
  );
  const username = 'system:serviceaccount:users:lazyscope-viewer';
  expect(review.status).toMatchObject({ authenticated: true, user: { username } });
  expect(await admin.ownToken()).toBe('bench');
  const reader = await connectCluster({ kubeconfig: join(folder, 'reader') });
  await expect(reader.createToken(account, 3_600)).rejects.toThrow(
    'you lack the right to create serviceaccounts/token in namespace users (403)',
  );
  for (const cluster of [admin, reader]) cluster.close();
});

test('a kubeconfig or a context that is not there is named with what is', async () => {
  const { err } = await lazyscope('admin', 'status --context there');
  expect(err).toContain('--context there: ');
  expect(err).toContain('remedy: choose one of: here');
  expect((await lazyscope('missing', 'status')).err).toContain(`${folder}/missing cannot be read`);
});

test('the whole mesh is read, kind by kind, and a missing right ends it', async () => {
  const deployment = { name: 'istiod', labels: { app: 'istiod' } };
  const env = [{ name: 'ISTIO_DELTA_XDS', value: 'false' }];
  await api.call('POST', '/api/v1/namespaces', { metadata: { name: 'istio-system' } });
  await api.call('POST', '/apis/apps/v1/namespaces/istio-system/deployments', {
    metadata: deployment,
    spec: {
      selector: { matchLabels: deployment.labels },
      template: {
        metadata: { labels: deployment.labels },
        spec: { containers: [{ name: 'discovery', image: 'istiod', env }] },
      },
    },
  });
  const found = await lazyscope('admin', 'doctor -o json --only istiod-delta,istiod-cache');
  expect(found).toMatchObject({ code: 0, err: '' });
  expect(JSON.parse(found.out).findings).toMatchObject([
    { id: 'istiod-delta', subject: 'Deployment istio-system/istiod' },
  ]);
  await api.call('POST', '/api/v1/namespaces/shop/pods', webPod);
  const status = { phase: 'Running', podIP: '10.1.0.1', podIPs: [{ ip: '10.1.0.1' }] };
  await api.call('PATCH', '/api/v1/namespaces/shop/pods/web/status', { status });
  await api.call('POST', '/api/v1/namespaces/shop/services', {
    metadata: { name: 'cart' },
    spec: { ports: [{ name: 'http', port: 80 }] },
  });
  const { out } = await lazyscope('admin', 'explain web http://cart');
  expect(out).toContain('cart on port 80 is cart.shop.svc.cluster.local of Service shop/cart');
  const check = await lazyscope('admin', 'check shop -o json');
  expect(JSON.parse(check.out).findings).toMatchObject([{ id: 'FilterMissing' }, {}, {}]);
  const { err } = await lazyscope('reader', 'doctor');
  expect(err).toMatch(/you lack the right to list \S+ in the whole cluster \(403\)/);
});

const webPod = {
  metadata: {
    name: 'web',
    labels: { app: 'web', 'security.istio.io/tlsMode': 'istio' },
    annotations: { 'sidecar.istio.io/status': '{}' },
  },
  spec: { nodeName: 'node-1', containers: [{ name: 'istio-proxy', image: 'proxy' }] },
};

test('the bundled file does what the sources do', async () => {
  const file = join(folder, 'kubectl-lazyscope');
  const { scripts } = JSON.parse(await readFile(join(repoDir, 'package.json'), 'utf8'));
  const script = scripts['build:command'].replace(/--outfile=\S+/, `--outfile=${file}.cjs`);
  await exec('npx', ['-c', script], { cwd: repoDir });
  const args = [`${file}.cjs`, 'status', '-o', 'json', '--kubeconfig', join(folder, 'admin')];
  const { stdout } = await exec(process.execPath, args, { maxBuffer: 1 << 26 });
  expect(JSON.parse(stdout).total.workloads).toBe(scopeCount);
});
