import type { Logger } from 'pino';
import type { Sink } from '../companion/controller/reconcile/sink.ts';
import type { KubeObject } from '../companion/kube/object.ts';
import { pluralOf, type Registry } from './registry.ts';

/** Turns Sidecars and the sentinel into Envoy's files; `sidecars.ts` implements it. */
export type Distributor = {
  /**
   * Resolves when every affected Envoy runs with the change. Rejects if an Envoy refuses it; then
   * nothing has changed.
   */
  distribute(object: KubeObject): Promise<void>;
  withdraw(object: KubeObject): Promise<void>;
};

/**
 * The sink of an embedded mesh. When `apply` resolves, the object is in force, not only stored: a
 * plan that Envoy refuses fails like a write that the API server refuses.
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

/** Fields that a user has set in the spec of a WorkloadScope stay, as with server-side apply. */
function mergeSpec(before: KubeObject | undefined, object: KubeObject): KubeObject {
  if (object.kind !== 'WorkloadScope' || !before) return object;
  return { ...before, ...object, spec: { ...before.spec, ...object.spec } };
}
