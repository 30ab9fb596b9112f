import type { Logger } from 'pino';
import type { KubeObject, WatchHandler } from './object.ts';

/** Passes objects on to the handler of a watch, and knows which objects it has. */
export type Known = {
  upsert(object: KubeObject): void;
  remove(object: KubeObject): void;
  /**
   * Objects that are not in `seen` were deleted while no watch was open. `isAbsent`: with the
   * definition of their kind.
   */
  keepOnly(seen: Set<string>, isAbsent?: boolean): void;
};

/** Remembers which objects the handler knows, so that a new list can report deletions. */
export function trackKnown(handler: WatchHandler, log: Logger): Known {
  type Identity = Pick<KubeObject, 'apiVersion' | 'kind' | 'metadata'>;
  const known = new Map<string, Identity>();

  // A handler that throws is a bug; one bad object must not hide all others.
  function guarded(handle: (object: KubeObject) => void, object: KubeObject): void {
    try {
      handle(object);
    } catch (err) {
      log.error({ err, object: keyOf(object) }, 'handling of a watched object failed');
    }
  }

  function remove(object: KubeObject): void {
    if (!known.delete(keyOf(object))) return;
    guarded(handler.remove, object);
  }

  return {
    remove,
    upsert(object) {
      const before = known.get(keyOf(object));
      const { name, namespace, uid } = object.metadata;
      if (before && before.metadata.uid !== uid) remove(before as KubeObject);
      known.set(keyOf(object), {
        apiVersion: object.apiVersion,
        kind: object.kind,
        metadata: { name, ...(namespace && { namespace }), ...(uid && { uid }) },
      });
      guarded(handler.upsert, object);
    },
    keepOnly(seen, isAbsent = false) {
      for (const [key, identity] of known) if (!seen.has(key)) remove(identity as KubeObject);
      handler.synced?.(isAbsent);
    },
  };
}

export function keyOf(object: KubeObject): string {
  return `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
}
