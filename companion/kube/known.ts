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
  /** Uids by key: all that is kept of each of 30,000 objects. */
  const known = new Map<string, string | undefined>();
  /** The same for all objects of a watch. */
  let type = { apiVersion: '', kind: '' };

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

  /** What is known of an object that is gone. */
  function removeKey(key: string, uid: string | undefined): void {
    const slash = key.indexOf('/');
    const [namespace, name] = [key.slice(0, slash), key.slice(slash + 1)];
    const metadata = { name, ...(namespace && { namespace }), ...(uid && { uid }) };
    remove({ ...type, metadata });
  }

  return {
    remove,
    upsert(object) {
      const { apiVersion, kind, metadata } = object;
      const key = keyOf(object);
      const before = known.get(key);
      if (known.has(key) && before !== metadata.uid) removeKey(key, before);
      type = { apiVersion, kind };
      known.set(key, metadata.uid);
      guarded(handler.upsert, object);
    },
    keepOnly(seen, isAbsent = false) {
      for (const [key, uid] of known) if (!seen.has(key)) removeKey(key, uid);
      handler.synced?.(isAbsent);
    },
  };
}

export function keyOf(object: KubeObject): string {
  return `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
}
