import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { controllerSettings, nodeSettings } from '../../../companion/frame/config.ts';
import { readSettings, type Settings } from '../../../companion/frame/settings.ts';
import { caConfigMap } from '../../../companion/node/ca.ts';
import { filesBelow, find, type Manifest, manifests, parse, render, repository } from './render.ts';

const objects = render(join(manifests, 'base'));
const workloads = objects.filter(({ kind }) => kind === 'Deployment' || kind === 'DaemonSet');
const controller = find(objects, 'Deployment', 'lazyscope-controller');
const node = find(objects, 'DaemonSet', 'lazyscope-node');
// The bypass is a role with its own account (manifests/components/bypass).
const sources = filesBelow(join(repository, 'companion'), '.ts').filter(
  ({ name }) => !name.includes('bypass/'),
);

const podOf = (workload: Manifest): Manifest => workload.spec.template.spec;
const containerOf = (workload: Manifest): Manifest => podOf(workload).containers[0];
const labelsOf = (workload: Manifest): Manifest => workload.spec.template.metadata.labels;
const portOf = (workload: Manifest, name: string): number =>
  containerOf(workload).ports.find((port: Manifest) => port.name === name)?.containerPort;

/**
 * The variables as the kubelet sets them. A variable from a field of the pod gets a placeholder.
 */
function environmentOf(workload: Manifest): Record<string, string> {
  const variables: Manifest[] = containerOf(workload).env;
  return Object.fromEntries(variables.map(({ name, value }) => [name, value ?? 'from-the-pod']));
}

test('every manifest is YAML without duplicate keys', () => {
  const files = filesBelow(manifests, '.yaml');
  expect(files.length).toBeGreaterThan(15);
  for (const { text } of files) expect(parse(text).length).toBeGreaterThan(0);
});

test('every namespaced object is in lazyscope-system', () => {
  const clusterWide = /^(Namespace|PriorityClass|CustomResourceDefinition|ClusterRole(Binding)?)$/;
  for (const { kind, metadata } of objects)
    if (!clusterWide.test(kind))
      expect([kind, metadata.namespace]).toEqual([kind, 'lazyscope-system']);
});

describe.each(workloads.map((workload) => [workload.metadata.name, workload] as const))(
  '%s',
  (_name, workload) => {
    test('has no privileges and cannot write to its image', () => {
      const pod = podOf(workload);
      expect(pod.securityContext).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      for (const { securityContext } of pod.containers)
        expect(securityContext).toMatchObject({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
      const kinds = (pod.volumes ?? []).flatMap((volume: Manifest) => Object.keys(volume));
      expect(kinds).not.toContain('hostPath');
      for (const key of ['hostNetwork', 'hostPID', 'hostIPC']) expect(pod).not.toHaveProperty(key);
    });

    test('has no writable file', () => {
      const pod = podOf(workload);
      // Injection adds volumes to the gateway, which is Istio's proxy.
      for (const volume of pod.volumes ?? [])
        expect(Object.keys(volume)).toEqual(['name', 'projected']);
      for (const { volumeMounts = [] } of [...pod.containers, ...(pod.initContainers ?? [])])
        for (const mount of volumeMounts) expect(mount).toMatchObject({ readOnly: true });
    });

    test('requests few resources and gets no service links', () => {
      expect(containerOf(workload).resources.requests).toHaveProperty('cpu');
      expect(containerOf(workload).resources.requests).toHaveProperty('memory');
      expect(podOf(workload).enableServiceLinks).toBe(false);
    });

    test('runs under a service account and a priority that exist', () => {
      const { serviceAccountName, priorityClassName } = podOf(workload);
      expect(find(objects, 'ServiceAccount', serviceAccountName)).toBeDefined();
      if (priorityClassName)
        expect(find(objects, 'PriorityClass', priorityClassName)).toBeDefined();
    });
  },
);

describe.each([
  ['controller', controller, controllerSettings as Settings],
  ['node', node, nodeSettings as Settings],
] as const)('the %s companion', (role, workload, settings) => {
  test('starts with its settings', () => {
    expect(containerOf(workload).args).toEqual([role]);
    const config = readSettings(settings, environmentOf(workload), []);
    const { namespace, adminPort } = config as { namespace: string; adminPort: number };
    expect(namespace).toBe('from-the-pod');
    expect(adminPort).toBe(portOf(workload, 'admin'));
  });

  test('is probed on its admin port and stays out of the mesh', () => {
    const { startupProbe, livenessProbe, readinessProbe } = containerOf(workload);
    expect(startupProbe.httpGet).toEqual({ path: '/livez', port: 'admin' });
    expect(livenessProbe.httpGet).toEqual({ path: '/livez', port: 'admin' });
    expect(readinessProbe.httpGet).toEqual({ path: '/readyz', port: 'admin' });
    expect(labelsOf(workload)['sidecar.istio.io/inject']).toBe('false');
  });

  test('has enough time for an orderly stop', () => {
    const { stopSeconds } = readSettings(settings, environmentOf(workload), []);
    expect(podOf(workload).terminationGracePeriodSeconds).toBeGreaterThan(stopSeconds);
  });
});

test('the ports are the companion’s defaults', () => {
  const { port, accessLogPort, tokenPath } = readSettings(nodeSettings, environmentOf(node), []);
  const settings = readSettings(controllerSettings, environmentOf(controller), []);
  const { grpcPort, filterPort, consolePort } = settings;
  expect(consolePort).toBe(portOf(controller, 'console'));
  expect(port).toBe(portOf(node, 'http'));
  expect(accessLogPort).toBe(portOf(node, 'grpc-als'));
  expect(grpcPort).toBe(portOf(controller, 'grpc'));
  expect(filterPort).toBe(portOf(controller, 'filter'));

  const [{ mountPath }] = containerOf(node).volumeMounts;
  const [{ serviceAccountToken }] = podOf(node).volumes[0].projected.sources;
  expect(`${mountPath}/${serviceAccountToken.path}`).toBe(tokenPath);
  expect(serviceAccountToken.audience).toBe('lazyscope');
});

test.each([
  ['lazyscope-node', node, [9470, 9475], { internalTrafficPolicy: 'Local' }],
  ['lazyscope-controller', controller, [9471], { clusterIP: 'None' }],
  ['lazyscope-filter', controller, [9473], {}],
  ['lazyscope-console', controller, [9474], {}],
] as const)('Service %s reaches its pods', (name, workload, numbers, more) => {
  const { spec } = find(objects, 'Service', name);
  expect(labelsOf(workload)).toMatchObject(spec.selector);
  expect(spec.ports.map(({ port }: Manifest) => port)).toEqual(numbers);
  const served = spec.ports.map(({ targetPort }: Manifest) => portOf(workload, targetPort));
  expect(served).toEqual(numbers);
  expect(spec).toMatchObject(more);
});

test('the gateway is injected from the gateway template and selected by its Gateway', () => {
  const gateway = find(objects, 'Deployment', 'lazyscope-egress');
  const { annotations, labels } = gateway.spec.template.metadata;
  expect(annotations['inject.istio.io/templates']).toBe('gateway');
  expect(labels['sidecar.istio.io/inject']).toBe('true');
  const { spec } = find(objects, 'Gateway', 'lazyscope-egress');
  expect(labels).toMatchObject(spec.selector);
  expect(spec.servers[0]).toMatchObject({
    port: { number: portOf(gateway, 'tls') },
    tls: { mode: 'AUTO_PASSTHROUGH' },
  });
  // The webhook for the label on a pod applies only in namespaces without this label.
  const { metadata } = find(objects, 'Namespace', 'lazyscope-system');
  expect(metadata.labels).not.toHaveProperty('istio-injection');
});

describe('permissions', () => {
  const roles = objects.filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole');
  const rules: Manifest[] = roles.flatMap((role) => role.rules);

  test('contain no wildcard', () => {
    expect(rules.length).toBeGreaterThan(10);
    expect(JSON.stringify(rules)).not.toContain('*');
  });

  test('each role is bound, to a service account of its name', () => {
    for (const { kind, metadata } of roles) {
      const binding = find(objects, `${kind}Binding`, metadata.name);
      expect(binding.roleRef).toMatchObject({ kind, name: metadata.name });
      expect(binding.subjects).toEqual([
        { kind: 'ServiceAccount', name: metadata.name, namespace: 'lazyscope-system' },
      ]);
    }
  });

  test('secrets are never listed', () => {
    const secrets = rules.filter(({ resources }) => resources.includes('secrets'));
    expect(secrets.flatMap(({ verbs }) => verbs).sort()).toEqual(['create', 'get', 'update']);
  });

  test('the names of single objects are the names that the companion uses', () => {
    const names = rules.flatMap(({ resourceNames = [] }) => resourceNames);
    expect(names).toContain(caConfigMap.name);
    for (const name of names)
      expect(sources.filter(({ text }) => text.includes(`'${name}'`)).length, name).toBeGreaterThan(
        0,
      );
  });

  test('include every kind that the companion reads', () => {
    const named = sources.flatMap(({ text }) => [...text.matchAll(/plural: '([a-z]+)'/g)]);
    const plurals = new Set(named.map(([, plural]) => plural));
    expect(plurals.size).toBeGreaterThan(8);
    const covered = new Set(rules.flatMap(({ resources }) => resources));
    for (const plural of plurals) expect(covered).toContain(plural);
  });
});

test('network policies open only the ports of the contract', () => {
  const policies = objects.filter(({ kind }) => kind === 'NetworkPolicy');
  const ports = Object.fromEntries(
    policies.map(({ metadata, spec }) => [
      metadata.name,
      (spec.ingress ?? []).flatMap(({ ports }: Manifest) =>
        ports.map((each: Manifest) => each.port),
      ),
    ]),
  );
  expect(ports).toEqual({
    'default-deny': [],
    'lazyscope-node': [9470, 9475],
    'lazyscope-controller': [9471, 9474, 9473],
    'lazyscope-egress': [15443],
    metrics: [9472, 15020, 15090],
  });
  const open = policies.flatMap(({ spec }) => spec.ingress ?? []).filter(({ from }) => !from);
  expect(open).toEqual([]);
});

test('disruption budgets keep one of two replicas', () => {
  for (const { metadata, spec } of objects.filter(({ kind }) => kind === 'PodDisruptionBudget')) {
    const workload = find(objects, 'Deployment', metadata.name);
    expect(labelsOf(workload)).toMatchObject(spec.selector.matchLabels);
    expect([workload.spec.replicas, spec.minAvailable]).toEqual([2, 1]);
  }
});

/** The scheduler scores no node that lacks the key of any constraint of the pod. */
test.each(['lazyscope-controller', 'lazyscope-egress'])(
  'replicas of %s spread over nodes, with zones or without, also in a rollout',
  (name) => {
    const { topologySpreadConstraints, affinity } = podOf(find(objects, 'Deployment', name));
    const labels = { matchLabels: { 'app.kubernetes.io/name': name } };
    expect(topologySpreadConstraints).toEqual([
      {
        ...{ maxSkew: 1, topologyKey: 'kubernetes.io/hostname', labelSelector: labels },
        ...{ whenUnsatisfiable: 'ScheduleAnyway', matchLabelKeys: ['pod-template-hash'] },
      },
    ]);
    const terms = affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution;
    expect(terms).toEqual([
      {
        weight: 100,
        podAffinityTerm: { topologyKey: 'topology.kubernetes.io/zone', labelSelector: labels },
      },
    ]);
  },
);
