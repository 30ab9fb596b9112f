import type { KubeObject, Resource } from '../../kube/object.ts';

/** An Event for people; `isWarning`: it needs attention. */
export type News = { reason: string; message: string; isWarning?: boolean };

/**
 * Where plans are applied: the API server of a cluster (`kube-sink.ts`), or a mesh without one. The
 * objects and the guarantees for the caller are the same.
 */
export type Sink = {
  /** Whether this replica leads. */
  mayWrite(): boolean;
  /** Creates or replaces the object, or only its status; returns the stored object. */
  apply(object: KubeObject, subresource?: 'status'): Promise<KubeObject>;
  /** Deletes this very object, not a successor of the same name. */
  delete(
    resource: Resource,
    object: { namespace: string; name: string; uid: string },
  ): Promise<void>;
  /** Sends an Event; a failure is only logged. */
  tell(about: KubeObject, event: News): Promise<void>;
};
