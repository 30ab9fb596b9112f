import { stringify } from 'yaml';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { type Answers, objectCluster } from '../host.ts';
import { shopObjects } from '../shop.ts';
import { filterParts } from './filter-parts.ts';

/** What differs from a healthy mesh. */
export type Situation = {
  /** Variables of istiod. */
  env?: Record<string, string>;
  /** More fields of istiod's Deployment. */
  istiod?: { image?: string; resources?: object; status?: object; revision?: string };
  /** Fields of the mesh configuration. */
  mesh?: Record<string, unknown>;
  /** Further metrics of istiod. */
  metrics?: string;
  /** What proxies answer to `config_dump`, by `namespace/pod`. */
  dumps?: Record<string, object>;
  /** An object of the same kind and name takes the place of the healthy one. */
  objects?: KubeObject[];
};

/** A check with what makes its condition true, and with the nearest that does not. */
export type Case = [id: string, there: Situation, not: Situation];

export const istiodOf = ({ env = {}, istiod = {} }: Situation): KubeObject => {
  const { image = 'docker.io/istio/pilot:1.31.0', status, revision } = istiod;
  const resources = istiod.resources ?? { requests: { cpu: '500m', memory: '2Gi' } };
  const suffix = revision ? `-${revision}` : '';
  return {
    ...{ apiVersion: 'apps/v1', kind: 'Deployment' },
    metadata: {
      namespace: 'istio-system',
      name: `istiod${suffix}`,
      labels: { app: 'istiod', ...(revision && { 'istio.io/rev': revision }) },
    },
    spec: {
      selector: { matchLabels: { app: 'istiod' } },
      template: {
        metadata: { labels: { app: 'istiod' } },
        spec: {
          containers: [
            {
              ...{ name: 'discovery', image, resources },
              env: Object.entries(env).map(([name, value]) => ({ name, value })),
            },
          ],
        },
      },
    },
    ...(status && { status }),
  };
};

export const meshConfigOf = ({ mesh = {} }: Situation): KubeObject => ({
  ...{ apiVersion: 'v1', kind: 'ConfigMap' },
  metadata: { name: 'istio', namespace: 'istio-system' },
  data: { mesh: stringify({ accessLogFile: '/dev/stdout', ...mesh }) },
});

const istiodPod = (name: string): KubeObject => ({
  ...{ apiVersion: 'v1', kind: 'Pod' },
  metadata: { namespace: 'istio-system', name, labels: { app: 'istiod' } },
  spec: { containers: [{ name: 'discovery' }] },
  status: { phase: 'Running' },
});

const companion: KubeObject = {
  ...{ apiVersion: 'v1', kind: 'Pod' },
  metadata: {
    namespace: 'lazyscope-system',
    name: 'lazyscope-node-0',
    labels: { 'app.kubernetes.io/name': 'lazyscope-node' },
  },
  spec: { nodeName: 'node-1' },
  status: { phase: 'Running' },
};

const system: KubeObject = {
  ...{ apiVersion: 'v1', kind: 'Namespace' },
  metadata: { name: 'lazyscope-system', labels: { mesh: 'in' } },
};

/** As a small mesh that has just started shows them. */
const healthyMetrics = `
istiod_uptime_seconds 3600
pilot_xds{version="1.31.0"} 12
pilot_xds_pushes{type="cds"} 40
pilot_xds_recv_max 1200
pilot_total_xds_internal_errors 0
pilot_proxy_convergence_time_bucket{le="0.1"} 40
pilot_proxy_convergence_time_bucket{le="0.5"} 40
pilot_proxy_convergence_time_bucket{le="+Inf"} 40
pilot_xds_config_size_bytes_bucket{type="type.googleapis.com/envoy.config.cluster.v3.Cluster",le="4e+06"} 9
pilot_xds_config_size_bytes_bucket{type="type.googleapis.com/envoy.config.cluster.v3.Cluster",le="1e+07"} 9
pilot_xds_config_size_bytes_count{type="type.googleapis.com/envoy.config.cluster.v3.Cluster"} 9
`;

/** The mesh of a situation: its objects, and what its pods answer and print. */
export function meshOf(situation: Situation) {
  const { objects: own = [], metrics = '', dumps = {} } = situation;
  const key = ({ kind, metadata: { namespace, name } }: KubeObject) =>
    `${kind} ${namespace}/${name}`;
  const replaced = new Set(own.map(key));
  const healthy = [
    ...[...shopObjects(), system, meshConfigOf(situation), istiodOf(situation)],
    ...[istiodPod('istiod-0'), companion, ...filterParts('shop', 'a1')],
  ];
  const answers: Answers = {
    'pods/istio-system/istiod-0:15014/metrics': () => healthyMetrics + metrics,
    // A second istiod, where a situation has one.
    'pods/istio-system/istiod-1:15014/metrics': () => 'pilot_xds{version="1.31.0"} 20\n',
  };
  const texts = Object.entries(dumps).map(([pod, dump]) => [
    `${pod} pilot-agent request GET config_dump`,
    JSON.stringify(dump),
  ]);
  const objects = [...healthy.filter((object) => !replaced.has(key(object))), ...own];
  return objectCluster(objects, { answers, texts: Object.fromEntries(texts) });
}
