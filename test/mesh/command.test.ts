import { afterAll, beforeAll, expect, test } from 'vitest';
import { openMesh } from '../../box/mesh.ts';
import { kubeconfigPath, repoDir } from '../../box/paths.ts';
import { runResult } from '../../box/run.ts';
import { namespaceObject, workload } from '../../box/shop.ts';
import type { Diagnosis } from '../../command/doctor/check.ts';

/** What the command says of real proxies and kubelets, in a mesh without Lazyscope. */

const mesh = openMesh();
const namespace = 'asked';
const [caller, refusing] = ['caller', 'refusing'];

beforeAll(async () => {
  await mesh.apply([namespaceObject(namespace)]);
  await mesh.apply([
    ...[caller, refusing].flatMap((name) => workload(namespace, name)),
    ...[onlyOwn, dangling],
  ]);
  await mesh.rollout(namespace);
  // A proxy that starts with a part that it refuses does not become ready.
  await mesh.apply([refused]);
});

afterAll(async () => {
  await mesh.kubectl(['delete', '--wait=false', 'namespace', namespace]);
});

const object = (kind: string, name: string, app: string, spec: object) => ({
  ...{ apiVersion: `networking.istio.io/v1${kind === 'EnvoyFilter' ? 'alpha3' : ''}`, kind },
  ...{ metadata: { name, namespace }, spec: { workloadSelector: { labels: { app } }, ...spec } },
});
const envoyFilter = (name: string, app: string, applyTo: string, patch: object) =>
  object('EnvoyFilter', name, app, {
    configPatches: [{ applyTo, match: { context: 'SIDECAR_OUTBOUND' }, patch }],
  });

/** A host that is there and that the Sidecar leaves out. */
const outside = 'istiod.istio-system.svc.cluster.local';
const onlyOwn = object('Sidecar', 'own', caller, { egress: [{ hosts: ['./*'] }] });
const dangling = envoyFilter('beyond-the-sidecar', caller, 'HTTP_ROUTE', {
  operation: 'INSERT_FIRST',
  value: { match: { prefix: '/beyond' }, route: { cluster: `outbound|15012||${outside}` } },
});
/** Envoy requires `stat_prefix`; neither the API server nor istiod looks. */
const refused = envoyFilter('refused', refusing, 'HTTP_FILTER', {
  operation: 'INSERT_FIRST',
  value: {
    name: 'refused',
    typed_config: {
      '@type':
        'type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit',
    },
  },
});

/** The command, as a user runs it against this cluster. */
async function lazyscope<Answer>(...args: string[]): Promise<Answer> {
  const node = [process.execPath, '--import', 'tsx', 'command/main.ts'];
  const [command = '', ...rest] = mesh.inNetwork([...node, ...args, '-o', 'json']);
  const env = { ...process.env, KUBECONFIG: kubeconfigPath };
  const { stdout, stderr } = await runResult(command, rest, { cwd: repoDir, env });
  expect(stdout, stderr).not.toBe('');
  return JSON.parse(stdout) as Answer;
}

/** What the doctor finds by these checks in the configuration of every proxy. */
async function found(...ids: string[]): Promise<Diagnosis[]> {
  type Found = { findings: Diagnosis[] };
  const { findings } = await lazyscope<Found>('doctor', '--deep', 'all', '--only', ids.join(','));
  return findings.filter(({ subject }) => subject.startsWith(`Pod ${namespace}/`));
}

test('the doctor names the part that a real Envoy refused, with Envoy’s reason', async () => {
  const [finding, ...others] = await mesh.waitFor('the refusal in the dump', async () => {
    const findings = await found('refused-config');
    return findings.length > 0 && findings;
  });
  expect(others).toEqual([]);
  expect(finding?.subject).toContain(`Pod ${namespace}/${refusing}-`);
  expect(finding?.sentence).toMatch(
    /^its Envoy refused \d+ parts? of its configuration: Proto constraint validation failed \(LocalRateLimit\S*StatPrefix: value length must be at least 1 characters\)$/,
  );
});

test('the doctor names the cluster that a real proxy lacks, and what imports its host', async () => {
  const [finding, ...others] = await mesh.waitFor('the route in the dump', async () => {
    const findings = await found('dangling-cluster');
    return findings.length > 0 && findings;
  });
  expect(others).toEqual([]);
  expect(finding?.subject).toContain(`Pod ${namespace}/${caller}-`);
  expect(finding?.sentence).toContain(`it lacks outbound|15012||${outside}`);
  expect(finding?.remedy).toContain(`lazyscope pin ${caller} istio-system/${outside}`);
});

type Advice = { subject: string; why: string; change: string };

/** What `advise resources` asks for a workload, from what the kubelets measure now. */
async function advised(
  name: string,
): Promise<{ annotations: Record<string, string>; most: number }> {
  type Answer = { advice: Advice[]; total: { pods: number } };
  const { advice, total } = await lazyscope<Answer>(
    ...['advise', 'resources', '-n', namespace, '--window', '20'],
  );
  expect(total.pods).toBe(2);
  const { change, why } = advice.find(
    ({ subject }) => subject === `${namespace}/${name}`,
  ) as Advice;
  expect(why).toContain('of 1 proxy in the last 20 seconds');
  const most = Number(/ maximum are \d+Mi and (\d+)Mi,/.exec(why)?.[1]);
  const [, patch = ''] = / -p '(.*)'$/.exec(change) ?? [];
  expect(change).toBe(
    `kubectl patch deployment -n ${namespace} ${name} --type merge -p '${patch}'`,
  );
  return { ...JSON.parse(patch).spec.template.metadata, most };
}

const mebibytesIn = (text = '') => Number(/^(\d+)Mi$/.exec(text)?.[1]);

async function patched(name: string, annotations: object): Promise<object> {
  const patch = JSON.stringify({ spec: { template: { metadata: { annotations } } } });
  const to = ['patch', 'deployment', '-n', namespace, name, '--type', 'merge', '-p', patch];
  await mesh.kubectl(to);
  await mesh.kubectl([
    'rollout',
    'status',
    '-n',
    namespace,
    `deployment/${name}`,
    '--timeout=120s',
  ]);
  const pod = await mesh.pod(namespace, `app=${name}`);
  type Container = { name: string; resources: object };
  const { spec } = JSON.parse(
    await mesh.kubectl(['get', 'pod', '-n', namespace, pod.name, '-o', 'json']),
  ) as { spec: { containers: Container[]; initContainers: Container[] } };
  const all = [...spec.containers, ...spec.initContainers];
  return all.find((each) => each.name === 'istio-proxy')?.resources ?? {};
}

const key = (of: string) => `sidecar.istio.io/proxy${of}`;

test('a pod starts with the resources that are advised from what its kubelet measured', async () => {
  const { annotations, most } = await advised(caller);
  const [request, limit] = [key('Memory'), key('MemoryLimit')].map((each) =>
    mebibytesIn(annotations[each]),
  ) as [number, number];
  // Envoy and its agent take some 60 to 300 MiB with so small a configuration.
  expect(request).toBeGreaterThan(32);
  expect(request).toBeLessThan(512);
  expect(limit).toBeGreaterThan(request);
  const asQuantity = (of: string) => annotations[key(of)]?.replace(/^(\d+)000m$/, '$1');
  expect(await patched(caller, annotations)).toEqual({
    requests: { cpu: asQuantity('CPU'), memory: annotations[key('Memory')] },
    limits: { cpu: asQuantity('CPULimit'), memory: annotations[key('MemoryLimit')] },
  });
  // With the limit that was advised it has head-room, and with one just above its use it has not.
  expect(await found('proxy-near-limit')).toEqual([]);
  const tight = `${Math.round(most * 1.15)}Mi`;
  await patched(caller, { ...annotations, [key('Memory')]: '16Mi', [key('MemoryLimit')]: tight });
  const [finding] = await mesh.waitFor(
    'the kubelet to have measured the new pod',
    async () => {
      const findings = await found('proxy-near-limit');
      return findings.length > 0 && findings;
    },
    60,
  );
  expect(finding?.sentence).toContain(` of ${tight}: at the limit it is killed`);
});
