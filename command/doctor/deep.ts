import { counted } from '../../companion/core/mesh/counted.ts';
import { at, objectsIn } from '../../companion/core/oracle/config-dump.ts';
import { clusterNames, danglingClusters } from '../../companion/core/oracle/dangling.ts';
import { someOf } from '../core/finding.ts';
import type { Mesh } from '../mesh/read.ts';
import type { Check, Dumped } from './check.ts';

/** What the configuration of real proxies shows; only with `--deep`. */

const evidence = (namespace: string, name: string) =>
  `kubectl exec -n ${namespace} ${name} -c istio-proxy -- pilot-agent request GET config_dump`;

/**
 * Whether no proxy has a cluster because its host has no such port: istiod makes routes of a
 * VirtualService on every port that any host has, and sends them to that port of the destination.
 */
function isNowhere({ state: { catalog } }: Mesh, cluster: string): boolean {
  const [, port, , host = ''] = cluster.split('|');
  const known = catalog.hosts.exact(host);
  return (
    known.length > 0 && !known.some(({ ports }) => ports.some((each) => each.port === Number(port)))
  );
}

type Missing = { dumped: Dumped; cluster: string; place: string };

/** What brings the cluster: its host, its subset, or a correction where it is named. */
function remedyOf(mesh: Mesh, { dumped, cluster, place }: Missing): string {
  const [direction, port, subset, host] = cluster.split('|');
  if (direction !== 'outbound' || !host)
    return `let the EnvoyFilter or extension that names ${cluster} add it, or take the name out of ${place}`;
  const hasHost = clusterNames(dumped.dump).has(`outbound|${port}||${host}`);
  if (subset && hasHost)
    return `declare subset ${subset} in a DestinationRule of ${host}, or name another subset where the route is written`;
  return `import the host: ${pinOf(mesh, dumped, cluster)}; without Lazyscope, in the Sidecar of the workload`;
}

/** The command that puts the host of a cluster into the scope of the pod. */
function pinOf({ state }: Mesh, { namespace, name: pod }: Dumped, cluster: string): string {
  const owner = state
    .workloads(namespace)
    .find(({ pods }) => pods.some(({ name }) => name === pod));
  const host = cluster.split('|')[3] ?? '';
  const [record] = state.catalog.hosts.exact(host);
  const entry = `${record?.namespace ?? 'NAMESPACE'}/${host || 'HOST'}`;
  return `lazyscope pin ${owner?.name ?? 'WORKLOAD'} ${entry} -n ${namespace}`;
}

const dangling: Check = {
  ...{ id: 'dangling-cluster', severity: 'critical' },
  title: 'the configuration of a proxy refers to a cluster that it does not have (--deep)',
  find: ({ dumped, mesh }) =>
    dumped.flatMap((proxy) => {
      const { namespace, name, dump } = proxy;
      const found = danglingClusters(dump).filter(({ cluster }) => !isNowhere(mesh, cluster));
      const [first] = found;
      if (!first) return [];
      const clusters = [...new Set(found.map(({ cluster }) => cluster))];
      return {
        subject: `Pod ${namespace}/${name}`,
        sentence: `it lacks ${someOf(clusters)}, first named by ${first.place}`,
        evidence: evidence(namespace, name),
        remedy: remedyOf(mesh, { dumped: proxy, ...first }),
      };
    }),
};

/** Envoy marks texts that are for people only (protobuf's debug format), and breaks their lines. */
function reasonIn(details: unknown): string {
  const text = String(details).replace(/goo\.gle\/debug\w+/g, ' ');
  return text
    .replace(/\s+/g, ' ')
    .replace(/^[\s:]+/, '')
    .trim();
}

const refused: Check = {
  ...{ id: 'refused-config', severity: 'warning' },
  title: 'a proxy refused a part of its configuration (--deep)',
  find: ({ dumped }) =>
    dumped.flatMap(({ namespace, name, dump }) => {
      const parts = objectsIn(dump.configs).flatMap((section) =>
        Object.values(section).flatMap((list) => objectsIn(list)),
      );
      const details = parts.flatMap((part) => at(part, 'error_state', 'details') ?? []);
      if (details.length === 0) return [];
      return {
        subject: `Pod ${namespace}/${name}`,
        sentence: `its Envoy refused ${counted(details.length, 'part')} of its configuration: ${reasonIn(details[0])}`,
        evidence: evidence(namespace, name),
        remedy:
          'correct the EnvoyFilter or WasmPlugin that the reason names; istioctl proxy-status',
      };
    }),
};

export const deepChecks: readonly Check[] = [dangling, refused];
