import { describe, expect, test } from 'vitest';
import { createUsage, usageOver } from '../../../command/advise/usage.ts';
import type { KubeObject } from '../../../companion/kube/object.ts';
import { pod } from '../companion/core/objects.ts';
import { advise, namespace } from './advised.ts';
import type { Answers } from './host.ts';
import { narrowed } from './objects.ts';

describe('resources', () => {
  const proxy = (more: object = {}) => ({
    name: 'istio-proxy',
    resources: {
      requests: { cpu: '100m', memory: '128Mi' },
      limits: { cpu: '2', memory: '1Gi' },
      ...more,
    },
  });
  const webPod = (where: 'containers' | 'initContainers', more: object = {}): KubeObject => {
    const made = pod('shop/web-1', {
      ...{ ip: '10.244.0.1', labels: { app: 'web', 'pod-template-hash': '6d5f7c9b8' } },
      owner: { kind: 'ReplicaSet', name: 'web-6d5f7c9b8' },
    });
    const { containers = [] } = made.spec as { containers?: object[] };
    const spec = { ...made.spec, containers, [where]: [proxy()] };
    return { ...made, spec, status: { ...made.status, ...more } };
  };
  const values: Record<string, string> = {
    max_over_time_memory: String(60 * 2 ** 20),
    memory: String(50 * 2 ** 20),
    cpuMax: '0.3',
    cpu: '0.02',
  };
  const prometheus = (path: string) => {
    const query = new URLSearchParams(path.split('?')[1]).get('query') ?? '';
    const isMax = query.includes('max_over_time');
    const value = query.includes('memory_working')
      ? values[isMax ? 'max_over_time_memory' : 'memory']
      : values[isMax ? 'cpuMax' : 'cpu'];
    const metric = { namespace: 'shop', pod: 'web-1' };
    const data = { resultType: 'vector', result: [{ metric, value: [0, value] }] };
    return JSON.stringify({ status: 'success', data });
  };
  const answers: Answers = { 'services/monitoring/prometheus:9090/api/v1/query': prometheus };
  const line = 'resources --prometheus monitoring/prometheus:9090 -n shop';
  const run = (objects: KubeObject[]) => advise(line, [namespace('shop'), ...objects], answers);

  test('all four annotations come together, with head-room over what was used', async () => {
    const { advice, total } = await run([webPod('containers')]);
    expect(advice).toHaveLength(1);
    const [, json = ''] =
      /^kubectl patch deployment -n shop web --type merge -p '(.*)'$/.exec(
        advice[0]?.change ?? '',
      ) ?? [];
    expect(JSON.parse(json).spec.template.metadata.annotations).toEqual({
      'sidecar.istio.io/proxyCPU': '24m',
      'sidecar.istio.io/proxyCPULimit': '2000m',
      'sidecar.istio.io/proxyMemory': '60Mi',
      'sidecar.istio.io/proxyMemoryLimit': '90Mi',
    });
    expect(advice[0]?.saves).toBe('68Mi and 76m in 1 proxy');
    expect(total).toMatchObject({ pods: 1, memoryBefore: 128 * 2 ** 20, cpuBefore: 0.1 });
  });

  test('a scope that came into force within the window shortens the window', async () => {
    const { advice } = await run([webPod('containers'), narrowed('shop/web')]);
    expect(advice[0]?.why).toContain('the last 168 hours');
    expect(advice[0]?.unknown).not.toContain('once it is narrowed');
    const young = await run([webPod('containers')]);
    expect(young.advice[0]?.unknown).toContain('what the sidecar takes once it is narrowed');
  });

  test.each([
    ['a native sidecar', [webPod('initContainers')], 'a VPA does not see a native sidecar'],
    [
      'a Guaranteed pod',
      [webPod('containers', { qosClass: 'Guaranteed' })],
      'requests stay equal to limits',
    ],
    [
      'an autoscaler',
      [
        webPod('containers'),
        {
          ...{ apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler' },
          metadata: { namespace: 'shop', name: 'web' },
          spec: {
            scaleTargetRef: { name: 'web' },
            metrics: [{ type: 'Resource', resource: { name: 'cpu' } }],
          },
        } as KubeObject,
      ],
      'ContainerResource',
    ],
  ])('%s is minded', async (_, objects, text) => {
    expect((await run(objects)).advice[0]?.worse).toContain(text);
  });

  // What a kubelet of Kubernetes 1.35 answers at /metrics/resource, shortened.
  const kubelet = (at: number, cpuSeconds: number) =>
    [
      '# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container',
      `container_cpu_usage_seconds_total{container="app",namespace="shop",pod="web-1"} 900.5 ${at}`,
      `container_cpu_usage_seconds_total{container="istio-proxy",namespace="shop",pod="web-1"} ${cpuSeconds} ${at}`,
      `container_memory_working_set_bytes{container="istio-proxy",namespace="shop",pod="web-1"} 5.24288e+07 ${at}`,
    ].join('\n');

  test('without a Prometheus the kubelet of each pod says what its sidecar uses', async () => {
    let asked = 0;
    const kubelets: Answers = {
      'nodes/node-1/metrics/resource': () => {
        asked += 1;
        return kubelet(asked * 10_000, asked * 0.5);
      },
    };
    const made = webPod('containers');
    const placed = { ...made, spec: { ...made.spec, nodeName: 'node-1' } };
    const line = 'resources -n shop --window 1';
    const { advice, err } = await advise(line, [namespace('shop'), placed], kubelets);
    expect(asked).toBe(2);
    expect(err).toContain('for 1 s; --window gives another time');
    expect(advice[0]?.sentence).toContain('request 60Mi and 60m for each sidecar');
    expect(advice[0]?.why).toContain('of 1 proxy in the last 1 second p95');
    const unread = await advise(line, [namespace('shop'), placed]);
    expect(unread.code).toBe(1);
    expect(unread.err).toContain('no kubelet can be read: nodes/node-1/metrics/resource');
    expect(unread.err).toContain('remedy: give --prometheus ADDRESS');
  });

  test('a metrics API comes before kubelets', async () => {
    const metrics = {
      ...{ apiVersion: 'metrics.k8s.io/v1beta1', kind: 'PodMetrics' },
      metadata: { namespace: 'shop', name: 'web-1' },
      containers: [{ name: 'istio-proxy', usage: { cpu: '50m', memory: '50Mi' } }],
    } as KubeObject;
    const { advice } = await advise('resources -n shop --window 1', [
      ...[namespace('shop'), webPod('containers'), metrics],
    ]);
    expect(advice[0]?.sentence).toContain('request 60Mi and 60m for each sidecar');
  });

  test('usage leaves out a sidecar whose CPU is not known, and steps over a restart', () => {
    const moment = (at: number, cpuSeconds: number) =>
      new Map([['shop/web-1', { at, memory: at, cpuSeconds }]]);
    expect(usageOver([moment(1_000, 1), moment(1_000, 1)]).size).toBe(0);
    const usage = usageOver([moment(1_000, 5), moment(2_000, 0.1), moment(4_000, 1.1)]);
    expect(usage.get('shop/web-1')).toEqual({
      ...{ memoryP95: 4_000, memoryMax: 4_000, cpuP95: 0.5, cpuMax: 0.5 },
    });
  });

  test('a sidecar that uses more than it requests saves nothing', async () => {
    const small = { requests: { cpu: '10m', memory: '32Mi' }, limits: {} };
    const made = webPod('containers');
    const { advice } = await run([
      {
        ...made,
        spec: {
          ...made.spec,
          containers: [proxy(small)].map((each) => ({ ...each, resources: small })),
        },
      },
    ]);
    expect(advice[0]?.saves).toBe(
      'nothing: 28Mi more are reserved in 1 proxy, because the proxies use more than they request',
    );
  });

  test('a sidecar older than its scope must be restarted and measured again', async () => {
    const made = webPod('containers');
    const since = (startedAt: string): KubeObject => ({
      ...made,
      status: {
        ...made.status,
        containerStatuses: [{ name: 'istio-proxy', state: { running: { startedAt } } }],
      },
    });
    const worse = async (startedAt: string) =>
      (await run([since(startedAt), narrowed('shop/web')])).advice[0]?.worse;
    expect(await worse('2020-01-01T00:00:00Z')).toContain('restart them and ask again');
    expect(await worse('2099-01-01T00:00:00Z')).not.toContain('restart them and ask again');
  });

  test('a range is asked for once, however many workloads share it', async () => {
    let asked = 0;
    const usageOf = createUsage(async () => {
      asked += 1;
      return [];
    }, '');
    await Promise.all([usageOf(3_600_000), usageOf(3_600_000), usageOf(7_200_000)]);
    expect(asked).toBe(8);
  });
});
