import type { Logger } from 'pino';
import type { Sink } from '../companion/controller/reconcile/sink.ts';
import type { KubeObject } from '../companion/kube/object.ts';
import { pluralOf, type Registry } from './registry.ts';

/** What turns Sidecars and the sentinel into Envoy's files; `sidecars.ts` is one. */
export type Distributor = {
  /**
   * Resolves when every Envoy concerned runs with it; rejects when one refuses, and nothing
   * changed.
   */
  distribute(object: KubeObject): Promise<void>;
  withdraw(object: KubeObject): Promise<void>;
};

/**
 * The sink of an embedded mesh. What was applied is in force when `apply` resolves, not only
 * stored: a plan that Envoy refuses fails as a write that the API server refuses.
 */
export function createFileSink(registry: Registry, distributor: Distributor, log: Logger): Sink {
  return {
    mayWrite: () => true,
    async apply(object, subresource) {
      const { namespace = '', name } = object.metadata;
      const before = registry.get(object.kind, namespace, name);
      if (subresource) return registry.put({ ...(before ?? object), status: object.status });
      const merged = mergeSpec(before, object);
      if (isDistributed(object.kind)) await distributor.distribute(merged);
      return registry.put(merged);
    },
    async delete({ plural }, { namespace, name, uid }) {
      const kind = [...distributed].find((each) => pluralOf(each) === plural) ?? plural;
      const found = registry.get(kind, namespace, name);
      if (found?.metadata.uid !== uid) return;
      if (isDistributed(kind)) await distributor.withdraw(found);
      registry.remove(found);
    },
    async tell({ metadata }, event) {
      log.info({ ...event, workload: metadata.name }, 'told');
    },
  };
}

const distributed = new Set(['Sidecar', 'ServiceEntry']);
const isDistributed = (kind: string) => distributed.has(kind);

/** What a user has put into the spec of a WorkloadScope stays, as with server-side apply. */
function mergeSpec(before: KubeObject | undefined, object: KubeObject): KubeObject {
  if (object.kind !== 'WorkloadScope' || !before) return object;
  return { ...before, ...object, spec: { ...before.spec, ...object.spec } };
}
