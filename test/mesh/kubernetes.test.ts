import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../box/app-call.ts';
import { openMesh } from '../../box/mesh.ts';
import { appContainer, appPorts, namespaceObject, workload } from '../../box/shop.ts';

const mesh = openMesh();
const namespace = 'kinds';
const metadata = (name: string) => ({ name, namespace });
const labels = (name: string) => ({ app: name });

function controllerObject(kind: string, name: string, extra: object): object {
  const template = {
    metadata: { labels: labels(name) },
    spec: { containers: [appContainer(name)], terminationGracePeriodSeconds: 1 },
  };
  const selector = { matchLabels: labels(name) };
  const spec = { selector, template, ...extra };
  return { apiVersion: 'apps/v1', kind, metadata: metadata(name), spec };
}

function service(name: string, extra: object): object {
  const ports = [{ name: 'http', port: appPorts.http }];
  const spec = { selector: labels(name), ports, ...extra };
  return { apiVersion: 'v1', kind: 'Service', metadata: metadata(name), spec };
}

const job = {
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: metadata('job'),
  spec: {
    template: {
      // A sidecar would keep the Job's pod alive after the Job is done.
      metadata: { labels: { ...labels('job'), 'sidecar.istio.io/inject': 'false' } },
      spec: {
        restartPolicy: 'Never',
        containers: [
          {
            name: 'app',
            image: 'lazyscope.test/app:1',
            args: ['call', `http://stateful-0.stateful.${namespace}:${appPorts.http}/`],
          },
        ],
      },
    },
  },
};

beforeAll(async () => {
  await mesh.apply([
    namespaceObject(namespace),
    ...workload(namespace, 'client'),
    controllerObject('StatefulSet', 'stateful', { serviceName: 'stateful', replicas: 2 }),
    service('stateful', { clusterIP: 'None' }),
    controllerObject('DaemonSet', 'everywhere', {}),
    service('everywhere', { internalTrafficPolicy: 'Local' }),
  ]);
  await mesh.rollout(namespace);
});

afterAll(() =>
  mesh.kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--wait=false']),
);

async function nodesOf(name: string): Promise<string[]> {
  const { items } = await mesh.get(['pods', '-n', namespace, '-l', `app=${name}`]);
  return items.map((pod: { spec: { nodeName: string } }) => pod.spec.nodeName).sort();
}

test('the pods of a StatefulSet and of a DaemonSet run on both nodes', async () => {
  expect(await nodesOf('stateful')).toEqual(['node-1', 'node-2']);
  expect(await nodesOf('everywhere')).toEqual(['node-1', 'node-2']);
});

test('a pod of a StatefulSet answers under its own host name, also to the other node', async () => {
  const client = await mesh.pod(namespace, 'app=client');
  for (const pod of ['stateful-0', 'stateful-1']) {
    const url = `http://${pod}.stateful.${namespace}:${appPorts.http}/`;
    expect(await call(mesh, client, url)).toMatchObject({ status: 200, body: { pod } });
  }
});

test('a Job runs to its end', async () => {
  await mesh.apply([job]);
  const wait = ['wait', '-n', namespace, '--for=condition=complete', 'job/job', '--timeout=60s'];
  expect(await mesh.kubectl(wait)).toContain('condition met');
  const log = await mesh.kubectl(['logs', '-n', namespace, 'job/job']);
  expect(JSON.parse(log)).toMatchObject({ status: 200, body: { name: 'stateful' } });
});

test('a Service with internalTrafficPolicy Local is answered on the caller’s node', async () => {
  const client = await mesh.pod(namespace, 'app=client');
  const home = (await mesh.get(['pod', client.name, '-n', namespace])).spec.nodeName;
  const answered = new Set<string>();
  for (let i = 0; i < 8; i++)
    answered.add((await call(mesh, client, `http://everywhere:${appPorts.http}/`)).body.node);
  expect([...answered]).toEqual([home]);
});

test('kubectl logs and exec reach pods on both nodes', async () => {
  for (const name of ['stateful-0', 'stateful-1']) {
    const log = await mesh.kubectl([
      'logs',
      '-n',
      namespace,
      name,
      '-c',
      'istio-proxy',
      '--tail=500',
    ]);
    expect(log).toContain('Envoy proxy is ready');
    const exec = ['exec', '-n', namespace, name, '-c', 'app', '--'];
    expect(await mesh.kubectl([...exec, 'hostname'])).toBe(`${name}\n`);
  }
});

test('the kubelet restarts a killed container', async () => {
  const pod = { namespace, name: 'stateful-0' };
  const restarts = async () => {
    const { status } = await mesh.get(['pod', pod.name, '-n', namespace]);
    const states = status.containerStatuses as {
      name: string;
      restartCount: number;
      ready: boolean;
    }[];
    return states.find((state) => state.name === 'app');
  };
  const before = (await restarts())?.restartCount ?? 0;
  const kill = ['sh', '-c', 'kill -TERM 1'];
  await mesh.exec({ ...pod, container: 'app' }, kill);
  await mesh.waitFor('the restart', async () => {
    const state = await restarts();
    return state !== undefined && state.restartCount > before && state.ready;
  });
});

test('a deleted namespace goes, and the processes of its pods go too', async () => {
  const processes = async () => {
    const counts = await Promise.all(
      ['node-1', 'node-2'].map((node) =>
        mesh.onNode(node, [
          'sh',
          '-c',
          'grep -lsa "POD_NAMESPACE=kinds" /proc/[0-9]*/environ | wc -l',
        ]),
      ),
    );
    return counts.map(Number).reduce((sum, count) => sum + count, 0);
  };
  expect(await processes()).toBeGreaterThan(0);
  await mesh.kubectl(['delete', 'namespace', namespace, '--timeout=120s']);
  expect(
    await mesh.waitFor('the end of the processes', async () => (await processes()) === 0),
  ).toBe(true);
});
