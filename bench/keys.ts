import { X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createFleet, urlIn } from '../box/fleet.ts';
import type { Mesh, PodRef } from '../box/mesh.ts';
import { namespaceObject, workload } from '../box/shop.ts';
import type { BenchOptions } from './bench.ts';
import { newNamespace, onMesh, removeNamespaces, setServices } from './cluster.ts';
import type { Times } from './first-call-rows.ts';
import { type Row, row } from './result.ts';
import { callEach } from './timed-calls.ts';

/**
 * First calls with workload certificates of RSA 2048, Istio's default, and of ECDSA P-256, which
 * proxies ask for by ECC_SIGNATURE_ALGORITHM (Istio's pilot-agent). All four callers take turns.
 */
const keys = ['RSA 2048', 'ECDSA P-256'] as const;
type Key = (typeof keys)[number];
const ecdsa = {
  'proxy.istio.io/config': 'proxyMetadata: {ECC_SIGNATURE_ALGORITHM: ECDSA}',
};
const annotationsOf: Record<Key, Record<string, string>> = { 'RSA 2048': {}, 'ECDSA P-256': ecdsa };

/** Calls a second of each caller. Slow enough that nothing is warmer than in life. */
const rps = 0.5;
/** So that there is something to narrow. */
const services = 100;
const warming = { rounds: 4, rps: 20 };

type Callers = { namespace: string; key: Key; scoped: PodRef; whole: PodRef };

export async function keyTypes(options: BenchOptions): Promise<Row[]> {
  const count = options.quick ? 10 : 60;
  return onMesh(options, async (mesh) => {
    await setServices(mesh, services);
    const purpose = newNamespace('keys');
    const names = keys.map((_, i) => `${purpose}-${i}`);
    try {
      const callers: Callers[] = [];
      for (const [i, key] of keys.entries())
        callers.push(await createCallers(mesh, names[i] as string, key, count));
      options.say('all callers are there');
      return (await measure(mesh, callers, count)).flat();
    } finally {
      await removeNamespaces(mesh, ...names, ...names.map(fullOf));
    }
  });
}

/** Not enabled: its sidecar has the whole mesh, and no filter. */
const fullOf = (namespace: string) => `${namespace}-full`;

async function createCallers(
  mesh: Mesh,
  namespace: string,
  key: Key,
  targets: number,
): Promise<Callers> {
  const annotations = annotationsOf[key];
  const full = fullOf(namespace);
  await mesh.apply([namespaceObject(full), ...workload(full, 'cold', { annotations })]);
  await createFleet(mesh, {
    ...{ namespace, clients: ['client'], targets, annotations },
    ...{ firstCall: 'direct', fallback: 'direct' },
  });
  await mesh.rollout(full);
  const scoped = await mesh.pod(namespace, 'app=client');
  const whole = await mesh.pod(full, 'app=cold');
  for (const pod of [scoped, whole, await mesh.pod(namespace, 'app=server')])
    await assertKey(mesh, pod, key);
  return { namespace, key, scoped, whole };
}

/** The certificate that the sidecar has, by Envoy's administration. */
async function assertKey(mesh: Mesh, pod: PodRef, key: Key): Promise<void> {
  const dump = await mesh.admin(pod, '/config_dump?resource=dynamic_active_secrets');
  const { configs } = JSON.parse(dump) as {
    configs: {
      secret: { tls_certificate?: { certificate_chain: { inline_bytes: string } } };
    }[];
  };
  const chain = configs.find(({ secret }) => secret.tls_certificate)?.secret.tls_certificate;
  const pem = Buffer.from(chain?.certificate_chain.inline_bytes ?? '', 'base64');
  const found = new X509Certificate(pem).publicKey.asymmetricKeyType;
  const wanted = key === 'RSA 2048' ? 'rsa' : 'ec';
  if (found !== wanted) throw new Error(`${pod.name} has a key of ${found}, not of ${wanted}`);
}

async function measure(mesh: Mesh, all: Callers[], count: number): Promise<Row[][]> {
  const parts = all.flatMap((of) => [
    { of, pod: of.scoped },
    { of, pod: of.whole },
  ]);
  const times = await Promise.all(
    parts.map(async ({ of, pod }, i) => {
      await sleep((i * 1000) / rps / parts.length);
      return (await callEach(mesh, pod, urlsOf(of.namespace, count), rps)).service;
    }),
  );
  const rows: Row[][] = [];
  for (const [i, of] of all.entries()) {
    const urls = urlsOf(of.namespace, count);
    for (let n = 0; n < warming.rounds; n++) await callEach(mesh, of.whole, urls, warming.rps);
    const warm = (await callEach(mesh, of.whole, urls, 2)).service;
    const [first, cold] = times.slice(2 * i, 2 * i + 2) as [Times, Times];
    rows.push(rowsOf(of.key, first, cold, warm));
  }
  return rows;
}

const urlsOf = (namespace: string, count: number) =>
  Array.from({ length: count }, (_, i) => urlIn(namespace, i));

function rowsOf(key: Key, first: Times, cold: Times, warm: Times): Row[] {
  return [
    row(key, 'first call, direct, p50', first.p50, 'ms'),
    row(key, 'first call, direct, p99', first.p99, 'ms'),
    row(key, 'cold call, full configuration, p50', cold.p50, 'ms'),
    row(key, 'cold call, full configuration, p99', cold.p99, 'ms'),
    row(key, 'warm call, full configuration, p50', warm.p50, 'ms'),
    row(key, 'connection and handshake, p50', cold.p50 - warm.p50, 'ms'),
    row(key, 'added, p50', first.p50 - cold.p50, 'ms'),
  ];
}
