import type { KubeObject, Resource } from '../../kube/object.ts';

/** Something that people should hear of; `isWarning`: and look into. */
export type News = { reason: string; message: string; isWarning?: boolean };

/**
 * Where a plan goes: the API server of a cluster (`kube-sink.ts`), or a mesh without one. The
 * objects are the same, and so is what the caller may rely on.
 */
export type Sink = {
  /** Whether this replica leads. */
  mayWrite(): boolean;
  /** Creates or replaces the object, or its status alone; gives it back as it is kept. */
  apply(object: KubeObject, subresource?: 'status'): Promise<KubeObject>;
  /** Deletes this very object, not another that took its name. */
  delete(
    resource: Resource,
    object: { namespace: string; name: string; uid: string },
  ): Promise<void>;
  /** Tells people of a change; a failure is logged and nothing else. */
  tell(about: KubeObject, event: News): Promise<void>;
};
