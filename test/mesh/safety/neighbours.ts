import type { Mesh } from '../../../box/mesh.ts';
import { appContainer, appPorts, workload } from '../../../box/shop.ts';
import { secondRevision } from './rig.ts';

/** Objects that stand beside ordinary workloads in the namespaces of users. */

/** Namespaces: most cases; default Sidecars; the ambient mesh. */
export const together = 'neighbours';
export const byDefault = 'neighbours-default';
export const ambient = 'neighbours-ambient';
/** A namespace of the second istiod. */
export const revised = 'neighbours-revised';

type Labels = Record<string, string>;
const pod = (name: string, labels: Labels, more: object = {}) => ({
  metadata: { labels },
  spec: { containers: [appContainer(name)], terminationGracePeriodSeconds: 1, ...more },
});

const object = (
  apiVersion: string,
  kind: string,
  name: string,
  spec: object,
  more: object = {},
) => ({
  apiVersion,
  kind,
  metadata: { name, namespace: together, ...more },
  spec,
});

/** A Deployment whose pods carry another name in the label `app`. */
export function deployment(name: string, labels: Labels, app = name): object {
  const spec = { selector: { matchLabels: labels }, template: pod(app, labels) };
  return object('apps/v1', 'Deployment', name, spec);
}

export function sidecarObject(namespace: string, name: string, spec: object): object {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Sidecar',
    metadata: { name, namespace },
    spec,
  };
}

/** Spec of a default Sidecar that leaves out the namespace of its own workloads. */
export const admitting = {
  egress: [{ hosts: ['servers/*', 'istio-system/*', 'lazyscope-system/*'] }],
  outboundTrafficPolicy: { mode: 'ALLOW_ANY' },
};

const once = (name: string) => ({
  template: pod(name, { app: name }, { restartPolicy: 'Never' }),
});

/** A Job's name as the CronJob controller makes it, from the minute in which the Job is due. */
const scheduled = 'report-29384756';

/**
 * A waypoint, by the labels that istiod sets. This Envoy cannot run as a waypoint, because it lacks
 * the extension that finds the workloads.
 */
const waypoint = deployment('waypoint', {
  app: 'waypoint',
  'gateway.networking.k8s.io/gateway-name': 'waypoint',
  'gateway.istio.io/managed': 'istio.io-mesh-controller',
}) as { spec: { template: { metadata: object; spec: object } } };
Object.assign(waypoint.spec.template.metadata, {
  annotations: { 'inject.istio.io/templates': 'gateway' },
});
waypoint.spec.template.spec = {
  containers: [{ name: 'istio-proxy', image: 'auto', imagePullPolicy: 'IfNotPresent' }],
};

const rollouts = 'rollouts.argoproj.io';
const definition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: rollouts },
  spec: {
    group: 'argoproj.io',
    scope: 'Namespaced',
    names: { kind: 'Rollout', plural: 'rollouts', singular: 'rollout' },
    versions: [
      {
        name: 'v1alpha1',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        },
      },
    ],
  },
};

/**
 * The controller of a Rollout makes a ReplicaSet for each version, as the Deployment controller
 * does.
 */
function replicaSet(hash: string, uid: string): object {
  const labels = { app: 'rolled', 'rollouts-pod-template-hash': hash };
  const owner = { apiVersion: 'argoproj.io/v1alpha1', kind: 'Rollout', name: 'rolled', uid };
  const spec = { replicas: 1, selector: { matchLabels: labels }, template: pod('rolled', labels) };
  const ownerReferences = [{ ...owner, controller: true }];
  return object('apps/v1', 'ReplicaSet', `rolled-${hash}`, spec, { ownerReferences });
}

const visibleTo = {
  own: undefined,
  open: '*',
  later: '*',
  private: '.',
  nobody: '~',
  elsewhere: 'servers',
};
/** Services of the other namespace, named after their visibility. */
export const servedUrl = (name: keyof typeof visibleTo) =>
  `http://${name}.${byDefault}:${appPorts.http}/`;

const services = Object.entries(visibleTo).map(([name, exportTo]) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: {
    name,
    namespace: byDefault,
    ...(exportTo && { annotations: { 'networking.istio.io/exportTo': exportTo } }),
  },
  spec: { selector: { app: 'client' }, ports: [{ name: 'http', port: appPorts.http }] },
}));

/** Installs the objects into existing namespaces. Returns when every pod is ready. */
export async function installNeighbours(mesh: Mesh): Promise<void> {
  await mesh.kubectl(['label', 'namespace', ambient, 'istio.io/dataplane-mode=ambient']);
  await mesh.apply([
    definition,
    ...services,
    ...workload(byDefault, 'client'),
    ...workload(ambient, 'client'),
    // These Sidecars exist before the product writes its own.
    sidecarObject(byDefault, 'default', admitting),
    sidecarObject(together, 'mine', {
      workloadSelector: { labels: { app: 'chosen' } },
      egress: [{ hosts: ['*/*'] }],
    }),
    {
      ...sidecarObject(together, 'of-another-revision', {
        workloadSelector: { labels: { app: 'migrate' } },
        egress: [{ hosts: ['*/*'] }],
      }),
      metadata: {
        name: 'of-another-revision',
        namespace: together,
        labels: { 'istio.io/rev': secondRevision },
      },
    },
    deployment('chosen', { app: 'chosen' }),
    deployment('former', { app: 'renamed' }),
    deployment('stable', { app: 'shared' }),
    deployment('canary', { app: 'shared', track: 'canary' }),
    object('batch/v1', 'Job', 'migrate', once('migrate')),
    object('batch/v1', 'CronJob', 'report', {
      schedule: '0 0 1 1 *',
      suspend: true,
      jobTemplate: { spec: once('report') },
    }),
    {
      apiVersion: 'v1',
      kind: 'Pod',
      ...pod('bare', {}),
      metadata: { name: 'bare', namespace: together },
    },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      ...pod('host', {}, { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }),
      metadata: { name: 'host', namespace: together, labels: { app: 'host' } },
    },
    waypoint,
  ]);
  await mesh.kubectl(['wait', '--for=condition=Established', `crd/${rollouts}`]);
  await mesh.apply([object('argoproj.io/v1alpha1', 'Rollout', 'rolled', {})]);
  const { metadata: cron } = await mesh.get(['cronjob', 'report', '-n', together]);
  const { metadata: rollout } = await mesh.get(['rollout', 'rolled', '-n', together]);
  const owner = { apiVersion: 'batch/v1', kind: 'CronJob', name: 'report', uid: cron.uid };
  await mesh.apply([
    object('batch/v1', 'Job', scheduled, once('report'), {
      ownerReferences: [{ ...owner, controller: true }],
    }),
    ...['5f7d8', '7d9f6'].map((hash) => replicaSet(hash, rollout.uid)),
  ]);
  const wait = ['wait', '--for=condition=Ready', 'pods', '-l', 'app!=emptied', '--timeout=120s'];
  await Promise.all(
    [together, byDefault, ambient].map((name) => mesh.kubectl([...wait, '-n', name])),
  );
}

export async function removeNeighbours(mesh: Mesh): Promise<void> {
  await mesh.kubectl(['delete', 'crd', rollouts, '--ignore-not-found', '--wait=false']);
}
