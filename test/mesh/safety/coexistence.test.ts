import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import { hasCluster } from '../../../box/cluster-query.ts';
import {
  clusterNames,
  deleteNamespaces,
  entryOf,
  importedHosts,
  scopeStatus,
} from '../../../box/fleet.ts';
import { startLoad } from '../../../box/load.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { enableNamespace, setMode } from '../../../box/product.ts';
import { workload } from '../../../box/shop.ts';
import { expectAllAnswered, leastSince, rateHere } from '../traffic.ts';
import {
  admitting,
  ambient,
  byDefault,
  deployment,
  installNeighbours,
  removeNeighbours,
  revised,
  servedUrl,
  sidecarObject,
  together,
} from './neighbours.ts';
import { ours, secondRevision, targetEntry, targetUrl } from './rig.ts';
import { hiddenLabel, installSecondRevision } from './second-revision.ts';

const mesh = openMesh();
const names = [together, byDefault, ambient, revised];
let second: Awaited<ReturnType<typeof installSecondRevision>> | undefined;

beforeAll(async () => {
  await Promise.all(names.map((name) => enableNamespace(mesh, name, 'enforce')));
  // This workload is the first, because its condition changes only after a minute.
  await mesh.apply([deployment('emptied', { app: 'emptied' })]);
  await mesh.rollout(together);
  const empty = async () => {
    await untilScoped(together, 'emptied', 'Enforced');
    await scale(0);
  };
  // The webhook of the second revision must exist before the namespace's pods are created.
  const revise = async () => {
    const labels = ['istio-injection-', `istio.io/rev=${secondRevision}`];
    await mesh.kubectl(['label', 'namespace', revised, ...labels]);
    second = await installSecondRevision(mesh);
    await mesh.apply(workload(revised, 'client'));
    await mesh.rollout(revised);
  };
  await Promise.all([empty(), installNeighbours(mesh), revise()]);
});

afterAll(async () => {
  await mesh.kubectl(['delete', 'sidecar', 'default', '-n', 'istio-system', '--ignore-not-found']);
  await deleteNamespaces(mesh, ...names);
  await removeNeighbours(mesh);
  await second?.remove();
});

/**
 * The row of a workload in `kubectl get workloadscope`, or undefined if the workload has no scope.
 */
async function scopedOf(namespace: string, name: string) {
  const scopes = await mesh.get(['workloadscopes', '-n', namespace]);
  type Scope = {
    metadata: { name: string };
    status?: { owners: string[]; conditions: { type: string; status: string; reason: string }[] };
  };
  const scope = (scopes.items as Scope[]).find(({ metadata }) => metadata.name === name);
  if (!scope) return undefined;
  const condition = scope.status?.conditions.find(({ type }) => type === 'Scoped');
  return { ...condition, owners: scope.status?.owners };
}

const untilScoped = (namespace: string, name: string, reason: string) =>
  mesh.waitFor(
    `${namespace}/${name} to be ${reason}`,
    async () => (await scopedOf(namespace, name))?.reason === reason,
  );

/**
 * The labels that the Sidecar of a workload selects, or undefined if the workload has no Sidecar.
 */
async function selectedBy(namespace: string, name: string) {
  const sidecar = `sidecar.networking.istio.io/lazyscope-${name}`;
  if (!(await ours(mesh, namespace)).includes(sidecar)) return undefined;
  const { spec } = await mesh.get(['sidecar', `lazyscope-${name}`, '-n', namespace]);
  return spec.workloadSelector.labels;
}

/** Makes a first call and a second call. Returns the caller's identity as the server saw it. */
async function identityOf(from: PodRef, url: string): Promise<string> {
  const first = await call(mesh, from, url);
  const second = await call(mesh, from, url);
  const outcome = [first, second].map(({ status, error = '' }) => ({ status, error }));
  expect(outcome).toEqual([answered, answered]);
  return second.body.peerIdentity;
}
const answered = { status: 200, error: '' };
const identity = (namespace: string, account = 'default') =>
  `spiffe://cluster.local/ns/${namespace}/sa/${account}`;

const canonical = 'service.istio.io/canonical-name';
const byApp = (app: string) => ({ app, [canonical]: app });

type Row = {
  what: string;
  namespace?: string;
  scope: string;
  pods: string;
  reason: string;
  selects?: Record<string, string>;
  owners?: string[];
  account?: string;
};

const rows: Row[] = [
  {
    what: 'that a Sidecar of its user selected before',
    ...{ scope: 'chosen', pods: 'app=chosen', reason: 'ForeignSidecar' },
  },
  {
    what: 'whose selector overlaps with that of another',
    ...{ scope: 'canary', pods: 'app=shared', reason: 'Enforced' },
    ...{ selects: byApp('shared'), owners: ['canary', 'stable'] },
  },
  {
    what: 'of a Job, beside a Sidecar for another revision of Istio',
    ...{ scope: 'migrate', pods: 'app=migrate', reason: 'Enforced', selects: byApp('migrate') },
  },
  {
    what: 'of a CronJob',
    ...{ scope: 'report', pods: 'app=report', reason: 'Enforced', selects: byApp('report') },
  },
  {
    what: 'of an Argo Rollout with pods of two versions',
    ...{ scope: 'rolled', pods: 'app=rolled', reason: 'Enforced', selects: byApp('rolled') },
  },
  {
    what: 'that is a pod without labels of its own',
    ...{ scope: 'bare', pods: `${canonical}=bare`, reason: 'Enforced' },
    selects: { [canonical]: 'bare' },
  },
  {
    what: 'in the ambient mesh',
    ...{ namespace: ambient, account: 'client' },
    ...{ scope: 'client', pods: 'app=client', reason: 'Ambient' },
  },
];

test('a namespace in the ambient mesh gets an Event that says so', async () => {
  await mesh.waitFor('the Event', async () => {
    const { items } = await mesh.get(['events', '-n', ambient]);
    type Told = { reason: string; involvedObject: { kind: string } };
    return (items as Told[]).some(
      ({ reason, involvedObject: { kind } }) => reason === 'Ambient' && kind === 'Namespace',
    );
  });
});

const titled = rows.map((row) => [row.what, row.reason, row] as const);

test.each(titled)('a workload %s: %s, and its calls succeed', async (_what, _reason, row) => {
  const { namespace = together, scope, pods, reason, selects, owners = [scope], account } = row;
  await untilScoped(namespace, scope, reason);
  const status = selects ? 'True' : 'False';
  expect(await scopedOf(namespace, scope)).toMatchObject({ status, owners });
  expect(await selectedBy(namespace, scope)).toEqual(selects);
  const pod = await mesh.pod(namespace, pods);
  expect(await identityOf(pod, targetUrl(0))).toBe(identity(namespace, account));
});

test('a waypoint and a pod on the host network have no scope, and keep their configuration', async () => {
  const scopes = await mesh.kubectl(['get', 'workloadscopes', '-n', together, '-o', 'name']);
  const found = scopes
    .trim()
    .split('\n')
    .map((name) => name.split('/')[1]);
  const expected = rows.flatMap(({ namespace, scope }) => (namespace ? [] : [scope]));
  expect(found.sort()).toEqual([...expected, 'emptied', 'former'].sort());
  const waypoint = await mesh.pod(together, 'app=waypoint');
  const clusters = await clusterNames(mesh, waypoint);
  expect(clusters.some((name) => name.includes('synthetic-'))).toBe(true);
  const host = await mesh.pod(together, 'app=host');
  expect(await identityOf(host, servedUrl('own'))).toBe('');
});

/** Waits until the scope has these hosts, apart from the sentinel and the gateway. */
async function untilHosts(namespace: string, name: string, expected: string[]): Promise<void> {
  const wanted = JSON.stringify([...expected].sort());
  let found = '';
  await mesh
    .waitFor(`the hosts of ${namespace}/${name}`, async () => {
      const hosts = await importedHosts(mesh, namespace, name);
      found = JSON.stringify(hosts.filter((host) => !host.startsWith('lazyscope-system/')).sort());
      return found === wanted;
    })
    .catch(({ message }: Error) => {
      throw new Error(`${message}: ${found} instead of ${wanted}`);
    });
}

const own = entryOf(byDefault, 'own');

test('a Service that is not exported to the caller is called as without a scope, and not imported', async () => {
  await untilScoped(together, 'former', 'Enforced');
  const former = await mesh.pod(together, 'app=renamed');
  expect(await identityOf(former, servedUrl('own'))).toBe(identity(together));
  for (const name of ['private', 'nobody', 'elsewhere'] as const)
    expect(await identityOf(former, servedUrl(name))).toBe('');
  await untilHosts(together, 'former', [own]);
});

test('a renamed Deployment is narrowed at once, with the learned hosts', async () => {
  await mesh.apply([deployment('latter', { app: 'renamed' })]);
  await mesh.rollout(together);
  await mesh.kubectl(['delete', 'deployment', 'former', '-n', together]);
  await untilScoped(together, 'latter', 'Enforced');
  await untilHosts(together, 'latter', [own]);
  await mesh.waitFor(
    'the end of the scope of the old name',
    async () => (await scopedOf(together, 'former')) === undefined,
  );
  expect(await selectedBy(together, 'former')).toBeUndefined();
  const latter = await mesh.pod(together, 'app=renamed');
  for (const url of [servedUrl('own'), targetUrl(1)])
    expect(await identityOf(latter, url)).toBe(identity(together));
  const events = await mesh.kubectl(['get', 'events', '-n', together, '-o', 'name']);
  expect(events).not.toContain('latter.learning');
});

/** A destination that the default Sidecars here admit, and a destination that they leave out. */
const both = [targetUrl(2), servedUrl('own')];

/** Expects that every request to both destinations succeeds while `change` runs. */
async function underLoad(client: PodRef, change: () => Promise<void>): Promise<void> {
  const more = ['--connections', '4'];
  const rps = await rateHere(mesh, client, both, { wanted: 200, more });
  const running = await startLoad(mesh, client, both, { rps, more });
  await change();
  const least = leastSince(running, rps);
  expectAllAnswered(await running.stop(), { least });
}

const remove = (namespace: string) =>
  mesh.kubectl(['delete', 'sidecar', 'default', '-n', namespace]);

async function expectPolicy(expected: object | undefined): Promise<void> {
  const { spec } = await mesh.get(['sidecar', 'lazyscope-client', '-n', byDefault]);
  expect(spec.outboundTrafficPolicy).toEqual(expected);
}

test('the scope stays within a namespace’s default Sidecar, whether older or newer', async () => {
  await untilScoped(byDefault, 'client', 'Enforced');
  const client = await mesh.pod(byDefault, 'app=client');
  for (const url of both) await identityOf(client, url);
  await untilHosts(byDefault, 'client', [targetEntry(2)]);
  await expectPolicy(admitting.outboundTrafficPolicy);
  await underLoad(client, async () => {
    await remove(byDefault);
    await untilHosts(byDefault, 'client', [targetEntry(2), own]);
    await expectPolicy(undefined);
    await mesh.apply([sidecarObject(byDefault, 'default', admitting)]);
    await untilHosts(byDefault, 'client', [targetEntry(2)]);
    await remove(byDefault);
    await untilHosts(byDefault, 'client', [targetEntry(2), own]);
  });
});

test('the scope stays within the mesh’s default Sidecar, whether newer or older', async () => {
  const client = await mesh.pod(byDefault, 'app=client');
  await underLoad(client, async () => {
    await mesh.apply([sidecarObject('istio-system', 'default', admitting)]);
    await untilHosts(byDefault, 'client', [targetEntry(2)]);
    await expectPolicy(admitting.outboundTrafficPolicy);
    await setMode(mesh, byDefault, 'off');
    await untilScoped(byDefault, 'client', 'Off');
    await setMode(mesh, byDefault, 'enforce');
    await untilScoped(byDefault, 'client', 'Enforced');
    await untilHosts(byDefault, 'client', [targetEntry(2)]);
    await remove('istio-system');
    await untilHosts(byDefault, 'client', [targetEntry(2), own]);
  });
});

test('under a revision of Istio the mesh configuration of this revision counts', async () => {
  const client = await mesh.pod(revised, 'app=client');
  const { metadata } = await mesh.get(['pod', client.name, '-n', revised]);
  expect(metadata.annotations['istio.io/rev']).toBe(secondRevision);
  await untilScoped(revised, 'client', 'Enforced');
  expect(await identityOf(client, servedUrl('open'))).toBe(identity(revised, 'client'));
  // The second istiod exports a Service to its own namespace only, by default.
  expect(await identityOf(client, servedUrl('own'))).toBe('');
  await untilHosts(revised, 'client', [entryOf(byDefault, 'open')]);
});

/** Hides a namespace from the second istiod while `run` runs. */
async function whileHidden(namespace: string, run: () => Promise<void>): Promise<void> {
  await mesh.kubectl(['label', 'namespace', namespace, `${hiddenLabel}=true`]);
  try {
    await run();
  } finally {
    await mesh.kubectl(['label', 'namespace', namespace, `${hiddenLabel}-`]);
  }
}

test('a namespace that a revision of Istio does not discover is called as without a scope', async () => {
  const client = await mesh.pod(revised, 'app=client');
  const isListed = () => hasCluster(mesh, client, `.*\\|open\\.${byDefault}\\..*`);
  await mesh.waitFor('the cluster of a Service', isListed);
  await whileHidden(byDefault, async () => {
    await mesh.waitFor('its end', async () => !(await isListed()));
    expect(await identityOf(client, servedUrl('later'))).toBe('');
  });
  await mesh.waitFor('the cluster of a Service', isListed);
  expect(await identityOf(client, servedUrl('open'))).toBe(identity(revised, 'client'));
});

test.each([revised, 'lazyscope-system'])(
  'under a revision of Istio that does not discover %s nothing is narrowed',
  async (hidden) => {
    await whileHidden(hidden, async () => {
      await untilScoped(revised, 'client', 'NotDiscovered');
      const { conditions } = await scopeStatus(mesh, revised, 'client');
      const told = JSON.stringify(conditions);
      for (const part of [`namespace ${hidden},`, `ConfigMap istio-${secondRevision}`])
        expect(told).toContain(part);
      expect(await selectedBy(revised, 'client')).toBeUndefined();
    });
    await untilScoped(revised, 'client', 'Enforced');
  },
);

const scale = (replicas: number) =>
  mesh.kubectl(['scale', 'deployment', 'emptied', '-n', together, `--replicas=${replicas}`]);

test('a workload without pods keeps its scope, and its next pod has the scope from the start', async () => {
  await mesh.waitFor(
    'the word that there are no proxies',
    async () => (await scopedOf(together, 'emptied'))?.reason === 'NoProxies',
    90,
  );
  expect(await scopedOf(together, 'emptied')).toMatchObject({ status: 'True' });
  expect(await selectedBy(together, 'emptied')).toEqual(byApp('emptied'));
  await scale(1);
  await mesh.rollout(together);
  const pod = await mesh.pod(together, 'app=emptied');
  const clusters = await clusterNames(mesh, pod);
  expect(clusters.filter((name) => name.includes('synthetic-'))).toEqual([]);
  expect(await identityOf(pod, targetUrl(3))).toBe(identity(together));
  await untilScoped(together, 'emptied', 'Enforced');
});
