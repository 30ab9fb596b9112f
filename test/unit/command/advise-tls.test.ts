import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { tlsAdvice } from '../../../command/advise/tls.ts';
import { readMesh } from '../../../command/mesh/read.ts';
import type { KubeObject } from '../../../companion/kube/object.ts';
import { app } from '../companion/core/objects.ts';
import { commandLine, objectCluster } from './host.ts';

const shop: KubeObject = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } };
const objects = [shop, ...app('shop/web', '10.96.0.1', '10.244.0.1')];

type Env = { name: string; value: string }[];
function podsOf(config?: string, env: Env = []): KubeObject[] {
  return objects
    .filter(({ kind }) => kind === 'Pod')
    .map((pod) => ({
      ...pod,
      metadata: {
        ...pod.metadata,
        annotations: {
          ...pod.metadata.annotations,
          ...(config !== undefined && { 'proxy.istio.io/config': config }),
        },
      },
      spec: { ...pod.spec, containers: [{ name: 'istio-proxy', image: 'proxyv2', env }] },
    }));
}

const ecdsa = [{ name: 'ECC_SIGNATURE_ALGORITHM', value: 'ECDSA' }];
const provider = 'privateKeyProvider: {cryptomb: {pollDelay: 2ms, fallback: true}}\n';
const node = (value: string): KubeObject => ({
  ...{ apiVersion: 'v1', kind: 'Node' },
  metadata: { name: 'node-1', labels: { 'lazyscope.io/cryptomb': value } },
});

type Given = { config?: string; env?: Env; hasPolicy?: boolean; cryptomb?: string };

async function advise(
  rate: number | undefined,
  { config, env, hasPolicy = false, cryptomb = 'true' }: Given = {},
) {
  const pods = podsOf(config, env);
  const { list } = objectCluster([...objects.filter(({ kind }) => kind !== 'Pod'), ...pods]);
  const mesh = await readMesh(
    { controller: undefined, list },
    { now: () => 0, unreadable: () => undefined },
  );
  const name = `shop/${pods[0]?.metadata.name}`;
  const rates = rate === undefined ? undefined : new Map([[name, rate]]);
  return tlsAdvice({
    ...{ mesh, pods, nodes: [node(cryptomb)], namespace: undefined, hasPolicy },
    rates,
  });
}

const idsOf = (advice: { id: string }[]) => advice.map(({ id }) => id);

test.each([
  ['nothing measured', undefined, {}, ['not-measured']],
  ['few handshakes', 9, {}, ['not-worth-it']],
  ['few handshakes and ECDSA keys', 9, { env: ecdsa }, ['not-worth-it']],
  ['handshakes with RSA keys', 10, {}, ['ecdsa-keys']],
  ['handshakes with ECDSA keys', 999, { env: ecdsa }, []],
  ['many handshakes with RSA keys', 1_000, {}, ['ecdsa-keys', 'offload']],
  ['many handshakes, and no node that can', 1_000, { env: ecdsa, cryptomb: 'false' }, []],
  ['many handshakes with ECDSA keys', 1_000, { env: ecdsa }, ['offload']],
  ['many handshakes and a provider', 1_000, { env: ecdsa, config: provider }, []],
  ['a provider and few handshakes', 999, { env: ecdsa, config: provider }, ['offload-needless']],
] as const)('%s', async (_, rate, given, ids) => {
  const { env, ...rest } = { env: [] as Env, ...given };
  expect(idsOf(await advise(rate, { ...rest, env: [...env] }))).toEqual(ids);
});

test('where the policy is served the change is a label, elsewhere the patch that it stands for', async () => {
  const [label] = await advise(2_000, { env: ecdsa, hasPolicy: true });
  expect(label?.change).toContain('"lazyscope.io/tls-offload":"auto"');
  const [patch] = await advise(2_000, { env: ecdsa, config: 'concurrency: 2' });
  const { template } = parse(patch?.change ?? '').spec;
  expect(parse(template.metadata.annotations['proxy.istio.io/config'])).toEqual({
    concurrency: 2,
    privateKeyProvider: { cryptomb: { pollDelay: '2ms', fallback: true } },
  });
  expect(template.spec).toEqual({ nodeSelector: { 'lazyscope.io/cryptomb': 'true' } });
  const [byHand] = await advise(2_000, { env: ecdsa, config: '{"concurrency": 2}' });
  expect(byHand?.change).toContain('by hand');
});

test('without a Prometheus advise tls says that nothing was measured', async () => {
  const others = objects.filter(({ kind }) => kind !== 'Pod');
  const cluster = objectCluster([...others, ...podsOf()]);
  const { code, out, err } = await commandLine('advise tls -A', cluster);
  expect([code, err]).toEqual([0, '']);
  expect(out).toContain('TLS  mesh not-measured: leave TLS offload off for 1 workload');
  expect(out).toContain('1 piece of advice.');
});

test('rates are asked of both counters, and the higher one counts', async () => {
  const queries: string[] = [];
  const answer = (path: string) => {
    const query = new URLSearchParams(path.split('?')[1]).get('query') ?? '';
    queries.push(query);
    const metric = { namespace: 'shop', pod: podsOf()[0]?.metadata.name };
    const value = [0, query.includes('envoy_listener') ? '12' : '3'];
    const data = { resultType: 'vector', result: [{ metric, value }] };
    return JSON.stringify({ status: 'success', data });
  };
  const others = objects.filter(({ kind }) => kind !== 'Pod');
  const cluster = objectCluster([...others, ...podsOf()], {
    answers: { 'services/monitoring/prometheus:9090/api/v1/query': answer },
  });
  const line = 'advise tls -A --range 1h --prometheus monitoring/prometheus:9090';
  const { out } = await commandLine(line, cluster);
  expect(out).toContain('TLS  shop/web ecdsa-keys: use keys of ECDSA P-256');
  expect(out).toContain('12 handshakes/s were the most of one proxy');
  expect(queries).toHaveLength(2);
  for (const query of queries) expect(query).toMatch(/^max_over_time\(.*\[3600s:5m\]\)$/);
});
