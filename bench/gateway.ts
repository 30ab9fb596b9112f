import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { request } from 'undici';
import { parseAllDocuments } from 'yaml';
import { type ApiServer, startApiServer } from '../box/api/api-server.ts';
import { freePort } from '../box/api/free-port.ts';
import { populate } from '../box/api/population.ts';
import { repoDir } from '../box/paths.ts';
import { lastLines } from '../box/run.ts';
import { ensureEnvoy } from '../embedded/envoy-binary.ts';
import type { BenchOptions } from './bench.ts';
import { startIstiod } from './istiod-process.ts';
import { type Row, row } from './result.ts';

const namespace = 'lazyscope-system';
const address = '10.100.250.1';
const readyMs = 300_000;
/** This Envoy has no extensions of Istio, and none of them has a part in first calls. */
const plainEnvoy = {
  PILOT_ENABLE_METADATA_EXCHANGE: 'false',
  PILOT_ENABLE_ALPN_FILTER: 'false',
  PILOT_DISABLE_MX_ALPN: 'true',
};
/** The setting of istiod under test. */
const setting = 'PILOT_FILTER_GATEWAY_CLUSTER_CONFIG';

const cases = [
  { name: `${setting} off, delta pushes`, filter: false, api: 'DELTA_GRPC' },
  { name: `${setting} on, delta pushes`, filter: true, api: 'DELTA_GRPC' },
  { name: `${setting} on, full pushes`, filter: true, api: 'GRPC' },
] as const;
type Case = (typeof cases)[number];

/** What the lazy egress gateway carries: a real Envoy with what a real istiod sends it. */
export async function gateway({ quick, say }: BenchOptions): Promise<Row[]> {
  const services = quick ? 500 : 5000;
  const api = await startApiServer(say);
  try {
    await populate(api, { workloads: quick ? 50 : 200, services });
    await installGateway(api);
    const rows: Row[] = [];
    for (const each of cases) {
      rows.push(...(await measure(api, each, services, say)));
      say(`${each.name}: measured`);
    }
    return rows;
  } finally {
    await api.stop();
  }
}

async function measure(
  api: ApiServer,
  { name, filter, api: xds }: Case,
  services: number,
  say: BenchOptions['say'],
): Promise<Row[]> {
  const istiod = await startIstiod(api, say, {
    [setting]: String(filter),
    ...plainEnvoy,
  });
  const proxy = await startProxy(istiod.xdsAddress, xds);
  try {
    // Each service has two ports, and only clusters for Istio mTLS by SNI are used.
    await proxy.untilClusters((names) => bySni(names).length >= 2 * services);
    await sleep(20_000);
    const { allocated, names } = await proxy.read();
    const started = performance.now();
    await putService(api);
    await proxy.untilClusters((all) => bySni(all).some((each) => each.includes(added)));
    const arrived = (performance.now() - started) / 1000;
    await api.call('DELETE', `/api/v1/namespaces/${namespace}/services/${added}`);
    await proxy.untilClusters((all) => !bySni(all).some((each) => each.includes(added)));
    const subject = `${services} services, ${name}`;
    return [
      row(subject, 'allocated', allocated / 1e6, 'MB'),
      row(subject, 'clusters for first calls', bySni(names).length, 'count', {
        atLeast: 2 * services,
      }),
      row(subject, 'other clusters', names.length - bySni(names).length, 'count'),
      row(subject, 'until a new service has its cluster', arrived, 's'),
    ];
  } finally {
    await proxy.stop();
    await istiod.stop();
  }
}

const bySni = (names: readonly string[]) => names.filter((each) => each.startsWith('outbound_.'));

/** The gateway of the manifests, with one endpoint. */
async function installGateway(api: ApiServer): Promise<void> {
  const text = await readFile(join(repoDir, 'manifests', 'base', 'gateway.yaml'), 'utf8');
  for (const document of parseAllDocuments(text)) {
    const object = document.toJS() as { kind: string };
    const path = { Service: '/api/v1', Gateway: '/apis/networking.istio.io/v1' }[object.kind];
    if (path === undefined) continue;
    const plural = `${object.kind.toLowerCase()}s`;
    await api.call('POST', `${path}/namespaces/${namespace}/${plural}`, object);
  }
}

const added = 'came-later';

async function putService(api: ApiServer): Promise<void> {
  const ports = [{ name: 'http', port: 8080 }];
  const services = `/api/v1/namespaces/${namespace}/services`;
  await api.call('POST', services, { metadata: { name: added }, spec: { ports } });
}

async function startProxy(istiod: string, api: 'DELTA_GRPC' | 'GRPC') {
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-gateway-'));
  const [admin, log] = [await freePort(), join(folder, 'log')];
  await writeFile(join(folder, 'envoy.json'), JSON.stringify(bootstrap(istiod, api, admin)));
  const output = openSync(log, 'a');
  const args = ['-c', join(folder, 'envoy.json'), '--concurrency', '2', '--use-dynamic-base-id'];
  const child = spawn(await ensureEnvoy(), args, { stdio: ['ignore', output, output] });
  const get = async (path: string) =>
    (await request(`http://127.0.0.1:${admin}${path}`)).body.text();
  async function read() {
    const memory = JSON.parse(await get('/memory')) as { allocated: string };
    const text = await get('/clusters');
    const names = new Set(text.split('\n').map((line) => line.split('::')[0] ?? ''));
    const own = ['', 'xds-grpc', 'sds-grpc'];
    return {
      allocated: Number(memory.allocated),
      names: [...names].filter((name) => !own.includes(name)),
    };
  }
  return {
    read,
    async untilClusters(isThere: (names: readonly string[]) => boolean): Promise<void> {
      const deadline = Date.now() + readyMs;
      while (!isThere((await read().catch(() => ({ names: [] }))).names)) {
        if (Date.now() > deadline || child.exitCode !== null)
          throw new Error(
            `the gateway lacks clusters:\n${lastLines(await readFile(log, 'utf8'), 15)}`,
          );
        await sleep(250);
      }
    },
    async stop() {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
      await rm(folder, { recursive: true });
    },
  };
}

/** As the agent of a gateway writes it, as far as istiod reads it. */
function bootstrap(istiod: string, api: string, admin: number): object {
  const [host, port] = istiod.split(':');
  const socket = (on: string, number: number) => ({
    socket_address: { address: on, port_value: number },
  });
  const cluster = (name: string, endpoints: object[]) => ({
    ...{ name, type: 'STATIC', connect_timeout: '1s' },
    load_assignment: { cluster_name: name, endpoints },
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
  });
  const endpoint = { endpoint: { address: socket(host ?? '', Number(port)) } };
  const ads = { ads: {}, resource_api_version: 'V3' };
  return {
    admin: { address: socket('127.0.0.1', admin) },
    node: {
      id: `router~${address}~lazyscope-egress-0.${namespace}~${namespace}.svc.cluster.local`,
      cluster: 'lazyscope-egress',
      metadata: {
        ...{ NAMESPACE: namespace, WORKLOAD_NAME: 'lazyscope-egress', CLUSTER_ID: 'Kubernetes' },
        ...{ ISTIO_VERSION: '1.32.0', SERVICE_ACCOUNT: 'lazyscope-egress' },
        LABELS: { istio: 'lazyscope-egress', 'app.kubernetes.io/name': 'lazyscope-egress' },
      },
    },
    dynamic_resources: {
      cds_config: ads,
      lds_config: ads,
      ads_config: {
        ...{ api_type: api, transport_api_version: 'V3', set_node_on_first_message_only: true },
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
      },
    },
    static_resources: {
      clusters: [cluster('xds-grpc', [{ lb_endpoints: [endpoint] }]), cluster('sds-grpc', [])],
    },
  };
}
