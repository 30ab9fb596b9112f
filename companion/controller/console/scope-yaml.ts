import { stringify } from 'yaml';
import { scopeApiVersion } from '../../core/scope/sidecar.ts';
import type { ScopeRecord } from '../../core/scope/workload-scope.ts';

/** Longest text; the longest object that etcd stores has 1.5 MiB, of which most is status. */
const yamlMax = 262_144;

/** The WorkloadScope as this replica knows it: what the user set, and what was learned. */
export function yamlOf(record: ScopeRecord): string {
  const { namespace, name, selector, mode, firstCall, pins, excludes, ttlMs, status } = record;
  const spec = {
    selector: { matchLabels: selector },
    ...(mode && { mode }),
    ...(firstCall && { firstCall }),
    ...(pins.length > 0 && { pins }),
    ...(excludes.length > 0 && { excludes }),
    ...(ttlMs !== undefined && { ttl: `${Math.round(ttlMs / 1_000)}s` }),
  };
  const object = {
    apiVersion: scopeApiVersion,
    kind: 'WorkloadScope',
    metadata: { namespace, name },
  };
  const text = stringify({ ...object, spec, ...(status && { status }) });
  return text.length > yamlMax ? `${text.slice(0, yamlMax)}\n# and more` : text;
}
