import type { Kube, KubeObject, Resource, WatchHandler } from '../companion/kube/object.ts';

/** Simulates the API server: objects by kind and name, and watches that receive every change. */
export type Registry = Pick<Kube, 'watch'> & {
  get(kind: string, namespace: string, name: string): KubeObject | undefined;
  /** Creates or replaces. Returns the stored object, with the fields that a server fills in. */
  put(object: KubeObject): KubeObject;
  /** Also removes the objects that the object owns. */
  remove(object: KubeObject): void;
};

type Selected = { resource: Resource; handler: WatchHandler };

export function createRegistry(): Registry {
  const objects = new Map<string, KubeObject>();
  const watches = new Set<Selected>();
  let version = 0;

  function notify(verb: 'upsert' | 'remove', object: KubeObject): void {
    for (const { resource, handler } of watches) {
      if (selects(resource, object)) handler[verb](structuredClone(object));
    }
  }

  function remove(object: KubeObject): void {
    const stored = objects.get(keyOf(object));
    if (!stored) return;
    objects.delete(keyOf(object));
    notify('remove', stored);
    for (const other of [...objects.values()]) {
      const owners = other.metadata.ownerReferences ?? [];
      if (owners.some(({ uid }) => uid === stored.metadata.uid)) remove(other);
    }
  }

  return {
    get(kind, namespace, name) {
      const found = objects.get(`${kind}/${namespace}/${name}`);
      return found && structuredClone(found);
    },
    put(object) {
      version += 1;
      const before = objects.get(keyOf(object))?.metadata;
      const stored: KubeObject = {
        ...structuredClone(object),
        metadata: {
          uid: `uid-${version}`,
          creationTimestamp: new Date().toISOString(),
          ...before,
          ...structuredClone(object.metadata),
          resourceVersion: String(version),
        },
      };
      objects.set(keyOf(stored), stored);
      notify('upsert', stored);
      return structuredClone(stored);
    },
    remove,
    watch(resource, handler) {
      for (const object of objects.values()) {
        if (selects(resource, object)) handler.upsert(structuredClone(object));
      }
      handler.synced?.(false);
      const watch = { resource, handler };
      watches.add(watch);
      return { synced: Promise.resolve(), stop: () => void watches.delete(watch) };
    },
  };
}

function keyOf({ kind, metadata: { namespace = '', name } }: KubeObject): string {
  return `${kind}/${namespace}/${name}`;
}

/**
 * Selects by kind, and by the two selectors of the companion: an existing label, and a pod's node.
 */
function selects(
  { plural, labelSelector, fieldSelector }: Resource,
  { kind, metadata, spec }: KubeObject,
): boolean {
  const [field, value] = fieldSelector?.split('=') ?? [];
  return (
    pluralOf(kind) === plural &&
    (labelSelector === undefined || labelSelector in (metadata.labels ?? {})) &&
    (field !== 'spec.nodeName' || spec?.nodeName === value)
  );
}

/** The plural of `ServiceEntry` is `serviceentries`; all other kinds here append an s. */
export function pluralOf(kind: string): string {
  return `${kind.toLowerCase()}s`.replace(/ys$/, 'ies');
}
