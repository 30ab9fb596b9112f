import { at, objectsIn } from '../../companion/core/oracle/config-dump.ts';
import { danglingClusters } from '../../companion/core/oracle/dangling.ts';
import { someOf } from '../core/finding.ts';
import type { Check } from './check.ts';

/** What the configuration of real proxies shows; only with `--deep`. */

const evidence = (namespace: string, name: string) =>
  `kubectl exec -n ${namespace} ${name} -c istio-proxy -- pilot-agent request GET config_dump`;

const dangling: Check = {
  ...{ id: 'dangling-cluster', severity: 'critical' },
  title: 'the configuration of a proxy refers to a cluster that it does not have (--deep)',
  find: ({ dumped }) =>
    dumped.flatMap(({ namespace, name, dump }) => {
      const found = danglingClusters(dump);
      if (found.length === 0) return [];
      const [first] = found;
      const clusters = [...new Set(found.map(({ cluster }) => cluster))];
      return {
        subject: `Pod ${namespace}/${name}`,
        sentence: `it lacks ${someOf(clusters)}, first named by ${first?.place}`,
        evidence: evidence(namespace, name),
        remedy: `import the host: lazyscope pin WORKLOAD NAMESPACE/HOST -n ${namespace}; without Lazyscope, in the Sidecar of the workload`,
      };
    }),
};

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
        sentence: `its Envoy refused ${details.length} of its parts: ${String(details[0])}`,
        evidence: evidence(namespace, name),
        remedy:
          'correct the EnvoyFilter or WasmPlugin that the reason names; istioctl proxy-status',
      };
    }),
};

export const deepChecks: readonly Check[] = [dangling, refused];
