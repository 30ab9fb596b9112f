import { stringify } from 'yaml';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { later, recorded } from '../../../recorded/istiod-metrics.ts';
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
  /** All metrics of istiod; default: those of a healthy one. */
  istiodText?: string;
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

const healthy = later(recorded('healthy'));

/** The mesh of a situation: its objects, and what its pods answer and print. */
export function meshOf(situation: Situation) {
  const { objects: own = [], metrics = '', istiodText = healthy, dumps = {} } = situation;
  const key = ({ kind, metadata: { namespace, name } }: KubeObject) =>
    `${kind} ${namespace}/${name}`;
  const replaced = new Set(own.map(key));
  const mesh = [
    ...[...shopObjects(), system, meshConfigOf(situation), istiodOf(situation)],
    ...[istiodPod('istiod-0'), companion, ...filterParts('shop', 'a1')],
  ];
  const answers: Answers = {
    'pods/istio-system/istiod-0:15014/metrics': () => istiodText + metrics,
    // A second istiod, where a situation has one.
    'pods/istio-system/istiod-1:15014/metrics': () => healthy,
  };
  const texts = Object.entries(dumps).map(([pod, dump]) => [
    `${pod} pilot-agent request GET config_dump`,
    JSON.stringify(dump),
  ]);
  const objects = [...mesh.filter((object) => !replaced.has(key(object))), ...own];
  return objectCluster(objects, { answers, texts: Object.fromEntries(texts) });
}
