import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mebibytes, readQuantity } from '../../../command/core/quantity.ts';
import type { KubeObject } from '../../../companion/kube/object.ts';
import { app, istio, pod, service, slice } from '../companion/core/objects.ts';
import { advise, type Found, namespace } from './advised.ts';
import { learned, narrowed, scope } from './objects.ts';

describe('discovery', () => {
  const catalog = 'billing/ledger.billing.svc.cluster.local';
  /** `billing` and `shop` have sidecars; `batch` has Services that nobody uses. */
  const mesh = (more: KubeObject[] = []) => [
    ...['billing', 'shop', 'batch'].map((name) => namespace(name)),
    ...app('shop/web', '10.96.0.1', '10.244.0.1'),
    ...app('billing/ledger', '10.96.0.2', '10.244.0.2'),
    service('billing/audit', { ip: '10.96.0.3' }),
    service('shop/store', { ip: '10.96.0.6' }),
    ...['jobs', 'queue'].map((name) => service(`batch/${name}`, { ip: '10.96.0.4' })),
    narrowed('billing/ledger'),
    ...more,
  ];
  const web = (hosts: string[]) =>
    narrowed(
      'shop/web',
      hosts.map((each) => learned(each)),
    );
  const idsOf = ({ advice }: { advice: Found[] }) =>
    advice.map(({ id, subject }) => `${id} ${subject}`);

  test('a namespace without proxies and users is left out of the discovery', async () => {
    const found = await advise('discovery', mesh([web([catalog])]));
    expect(idsOf(found)).toEqual(['discovery-selectors istio-system', 'export-to shop']);
    expect(found.advice[0]?.change).toContain('values: [batch]');
  });

  test('hosts that only their own namespace uses are kept in, with those who lose them', async () => {
    const { advice } = await advise('discovery', mesh([web([])]));
    const kept = advice.find(({ id, subject }) => `${id} ${subject}` === 'export-to billing');
    expect(kept).toMatchObject({
      sentence:
        'show 2 Services and 0 hosts of ServiceEntries to the namespace itself instead of all',
      worse: expect.stringContaining('concerned: proxies of shop'),
      change: "kubectl annotate service -n billing --all networking.istio.io/exportTo='.'",
    });
    expect(kept?.saves).toMatch(/MB in 1 proxy with full configuration, at \d+\.\d kB a cluster/);
  });

  test('a namespace whose calls are not known keeps what it sees', async () => {
    const found = await advise('discovery', mesh([scope('shop/web', { ready: 'Learning' })]));
    expect(idsOf(found)).toEqual(['observe-first mesh', 'export-to shop', 'export-to batch']);
    expect(found.advice[2]?.change).toContain("exportTo='.,shop'");
    expect(found.advice[0]?.change).toBe('kubectl label namespace shop lazyscope.io/mode=observe');
  });

  const count = fc.integer({ min: 1, max: 6 });

  test('nothing is advised that saves nothing, nor hides the API server and DNS', async () => {
    const inputs = fc.record({ batch: count, shop: count, pods: count, system: count });
    await fc.assert(
      fc.asyncProperty(inputs, async ({ batch, shop, pods, system }) => {
        const services = (of: string, many: number) =>
          Array.from({ length: many }, (_, i) => service(`${of}/more-${i}`, { ip: '10.96.1.1' }));
        const sidecars = Array.from({ length: pods }, (_, i) =>
          pod(`shop/web-x${i}`, { labels: { app: 'web' } }),
        );
        const more = [namespace('default'), ...services('default', system), ...sidecars];
        const all = mesh([web([catalog]), ...more, ...services('batch', batch)]);
        const { advice } = await advise('discovery', [...all, ...services('shop', shop)]);
        for (const { id, subject, saves = '' } of advice) {
          expect(['default', 'kube-system']).not.toContain(subject);
          const [, kept = 0, hosts = 0] = /istiod keeps (\d+) of (\d+)/.exec(saves) ?? [];
          const isForIstiod = id === 'discovery-selectors' && Number(kept) < 0.98 * Number(hosts);
          if (!isForIstiod) expect(saves).not.toMatch(/^0\.0MB/);
        }
      }),
      { numRuns: 20 },
    );
  });

  test.each([
    [
      'a VirtualService',
      istio('VirtualService', 'shop/jobs', {
        hosts: ['web'],
        http: [{ route: [{ destination: { host: 'jobs.batch.svc.cluster.local' } }] }],
      }),
    ],
    [
      'a VirtualService of a gateway',
      istio('VirtualService', 'shop/jobs', {
        ...{ hosts: ['example.com'], gateways: ['edge'] },
        http: [{ route: [{ destination: { host: 'jobs.batch.svc.cluster.local' } }] }],
      }),
    ],
    [
      'a route of a Gateway',
      {
        ...istio('HTTPRoute', 'shop/jobs', {
          parentRefs: [{ name: 'edge' }],
          rules: [{ backendRefs: [{ name: 'jobs', namespace: 'batch', port: 80 }] }],
        }),
        apiVersion: 'gateway.networking.k8s.io/v1',
      },
    ],
  ])('%s keeps a namespace in the discovery', async (_, rule) => {
    const found = await advise('discovery', mesh([web([catalog]), rule]));
    expect(idsOf(found)).not.toContain('discovery-selectors istio-system');
  });

  test('selectors that are set already are not replaced', async () => {
    const config: KubeObject = {
      ...{
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { namespace: 'istio-system', name: 'istio' },
      },
      data: { mesh: 'discoverySelectors: [{matchLabels: {mesh: "yes"}}]' },
    };
    const found = await advise('discovery', mesh([web([catalog]), config]));
    expect(idsOf(found)).not.toContain('discovery-selectors istio-system');
  });
});

describe('istiod', () => {
  const labels = { app: 'istiod' };
  const istiod = (env: Record<string, string> = {}): KubeObject[] => [
    {
      ...{ apiVersion: 'apps/v1', kind: 'Deployment' },
      metadata: { namespace: 'istio-system', name: 'istiod', labels },
      spec: {
        template: {
          spec: {
            containers: [
              {
                name: 'discovery',
                env: Object.entries(env).map(([name, value]) => ({ name, value })),
              },
            ],
          },
        },
      },
    },
    pod('istio-system/istiod-1', { labels, tlsMode: '', ip: '10.0.0.1' }),
  ];
  const histogram = (name: string, le: string, over: number, more = '') =>
    [
      `${name}_bucket{le="${le}"${more}} 0`,
      `${name}_bucket{le="30"${more}} ${over}`,
      `${name}_bucket{le="+Inf"${more}} ${over}`,
      `${name}_count{${more.slice(1)}} ${over}`,
    ].join('\n');
  const metricsAt = 'pods/istio-system/istiod-1:15014/metrics';
  const run = (metrics: string, env = {}) =>
    advise('istiod', istiod(env), { [metricsAt]: () => metrics });

  test.each([
    ['push-throttle', histogram('pilot_proxy_queue_time', '1', 9), /PILOT_PUSH_THROTTLE=100$/],
    [
      'debounce',
      histogram('pilot_pushcontext_init_seconds', '1', 9),
      /PILOT_DEBOUNCE_AFTER=500ms$/,
    ],
    [
      'writers',
      `${histogram('pilot_debounce_time', '5', 9)}\npilot_push_triggers{type="config"} 8`,
      /managedFields/,
    ],
    ['convergence', histogram('pilot_proxy_convergence_time', '3', 9), /first-call/],
    [
      'config-size',
      'pilot_xds_config_size_bytes_bucket{type="x.Cluster",le="4e+06"} 1\npilot_xds_config_size_bytes_count{type="x.Cluster"} 3',
      /enforce/,
    ],
    ['replicas', 'pilot_xds{version="1.32"} 2600', /autoscaleMin/],
  ])(
    '%s is advised by its metric, with the value and the threshold',
    async (id, metrics, change) => {
      const { advice, err } = await run(metrics);
      expect(err).toBe('');
      expect(advice.map((each) => each.id)).toEqual([id]);
      expect(advice[0]?.why).toMatch(/\d/);
      expect(advice[0]?.change).toMatch(change);
    },
  );

  test('an istiod that does well gets no advice', async () => {
    const { advice } = await run(
      [
        histogram('pilot_proxy_queue_time', '0.1', 0),
        'pilot_proxy_queue_time_bucket{le="0.1"} 100\npilot_proxy_queue_time_bucket{le="+Inf"} 100',
        'pilot_xds{version="1.32"} 20',
      ].join('\n'),
    );
    expect(advice).toEqual([]);
  });

  test.each([
    ['PILOT_CONVERT_SIDECAR_SCOPE_CONCURRENCY', '4'],
    // Every spelling that istiod takes (strconv.ParseBool).
    ...['false', 'False', 'FALSE', 'f', 'F', '0'].map((value) => ['ISTIO_DELTA_XDS', value]),
    ...[
      ...['ENABLE_LAZY_SIDECAR_EVALUATION', 'PILOT_ENABLE_XDS_CACHE', 'PILOT_ENABLE_CDS_CACHE'],
      ...['PILOT_ENABLE_RDS_CACHE', 'PILOT_ENABLE_EDS_DEBOUNCE'],
      'PILOT_ENABLE_ROUTE_COLLAPSE_OPTIMIZATION',
    ].map((name) => [name, '0']),
  ] as [string, string][])('%s=%s should be removed', async (name, value) => {
    const { advice } = await run('', { [name]: value });
    expect(advice).toMatchObject([{ id: name, sentence: `remove ${name}=${value}` }]);
  });

  test('gateways with a large mesh are to get only the clusters of their routes', async () => {
    const services = Array.from({ length: 250 }, (_, i) =>
      service(`shop/s-${i}`, { ip: `10.1.0.${i}` }),
    );
    const { advice } = await advise('istiod', [...istiod(), ...services], {
      [metricsAt]: () => '',
    });
    expect(advice).toMatchObject([
      { id: 'gateway-clusters', why: expect.stringContaining('250 clusters') },
    ]);
    const set = await advise(
      'istiod',
      [...istiod({ PILOT_FILTER_GATEWAY_CLUSTER_CONFIG: 'true' }), ...services],
      { [metricsAt]: () => '' },
    );
    expect(set.advice).toEqual([]);
  });

  test('an Istio that can is told to share the listeners of headless Services', async () => {
    const ips = Array.from({ length: 501 }, (_, i) => ({ ip: `10.2.${i >> 8}.${i & 255}` }));
    const at = (tag: string) => {
      const [deployment, ...rest] = istiod();
      const image = { image: `istio/pilot:${tag}` };
      const [container] = deployment?.spec?.template.spec.containers ?? [];
      Object.assign(container, image);
      return [deployment as KubeObject, ...rest];
    };
    const objects = [
      service('shop/kafka', { ports: [{ name: 'tcp', port: 9092 }] }),
      slice('shop/kafka', ips, [9092]),
    ];
    const ids = async (tag: string) =>
      (await advise('istiod', [...at(tag), ...objects], { [metricsAt]: () => '' })).advice.map(
        ({ id }) => id,
      );
    expect(await ids('1.32.0')).toEqual(['headless-listeners']);
    expect(await ids('1.31.2')).toEqual([]);
  });

  test('an istiod whose metrics cannot be read is named, and its settings still count', async () => {
    const { advice, err } = await advise('istiod', istiod({ ISTIO_DELTA_XDS: 'false' }));
    expect(err).toContain('istiod-1:15014/metrics: nothing answers: left out');
    expect(advice).toMatchObject([{ id: 'ISTIO_DELTA_XDS' }]);
  });
});

test.each([
  ['100m', 0.1],
  ['1.5', 1.5],
  ['128Mi', 128 * 2 ** 20],
  ['1G', 1e9],
  ['2e3', 2_000],
  ['', undefined],
  ['lots', undefined],
])('the quantity %s is %d', (text, value) => {
  expect(readQuantity(text)).toBe(value);
});

test('sizes are rounded up to whole MiB', () => {
  expect([mebibytes(1), mebibytes(2 ** 20), mebibytes(2 ** 20 + 1)]).toEqual(['1Mi', '1Mi', '2Mi']);
});
