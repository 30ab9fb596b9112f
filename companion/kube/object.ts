/** The objects of the API server, and the interface to it. The core imports its types from here. */

export type OwnerReference = {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
};

export type KubeObject = {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    generateName?: string;
    namespace?: string;
    uid?: string;
    resourceVersion?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    creationTimestamp?: string;
    generation?: number;
    ownerReferences?: OwnerReference[];
    deletionTimestamp?: string;
  };
  // biome-ignore lint/suspicious/noExplicitAny: spec, status and data differ by kind.
  [field: string]: any;
};

/** A collection; without `namespace`, the collection of the whole cluster. */
export type Resource = {
  group: string;
  version: string;
  plural: string;
  namespace?: string;
  fieldSelector?: string;
  labelSelector?: string;
  /**
   * Lists are served by the API server's watch cache, in one page, and may be outdated, but never
   * older than what this watch saw before. For small selections of watchers on every node: a page
   * without a version costs a read of etcd per page before Kubernetes 1.34, filtered afterwards.
   */
  cached?: true;
  /** The cluster may lack this kind, or get it later; until then there are no such objects. */
  optional?: true;
};

export type WatchHandler = {
  upsert(object: KubeObject): void;
  /** After a gap only apiVersion, kind, name, namespace and uid of the lost object are known. */
  remove(object: KubeObject): void;
  /**
   * Called after every (re)list, when all objects that were missing from it have been removed.
   * `isAbsent`: the cluster lacks the kind of an `optional` resource.
   */
  synced?(isAbsent: boolean): void;
};

export type Watch = { synced: Promise<void>; stop(): void };

export type TokenReview = {
  authenticated: boolean;
  username?: string | undefined;
  uid?: string | undefined;
  groups?: string[] | undefined;
  extra?: Record<string, string[]> | undefined;
  error?: string | undefined;
};

export type ApplyOptions = {
  fieldManager: string;
  force?: boolean;
  subresource?: 'status';
  timeoutMs?: number;
};

export type Preconditions = { uid?: string; resourceVersion?: string };

export type Kube = {
  /** Lists and watches for the life of the process; recovers from every kind of gap. */
  watch(resource: Resource, handler: WatchHandler): Watch;
  /** Server-side apply. */
  apply(object: KubeObject, options: ApplyOptions): Promise<KubeObject>;
  create(object: KubeObject, options?: { timeoutMs?: number }): Promise<KubeObject>;
  /** Update guarded by `metadata.resourceVersion`: 409 if another client was faster. */
  replace(object: KubeObject, options?: { timeoutMs?: number }): Promise<KubeObject>;
  /** Undefined if there is no such object. */
  get(
    resource: Resource,
    name: string,
    namespace?: string,
    options?: { timeoutMs?: number },
  ): Promise<KubeObject | undefined>;
  /** Whether the cluster has this version of an API. */
  serves(api: { group: string; version: string }): Promise<boolean>;
  /** Metadata of all objects, from the cache of the API server; it may be some seconds old. */
  listMetadata(resource: Resource): Promise<KubeObject[]>;
  /** Deleting a missing object is a success. */
  delete(
    resource: Resource,
    name: string,
    namespace?: string,
    options?: { preconditions?: Preconditions; timeoutMs?: number },
  ): Promise<void>;
  tokenReview(token: string, audiences: string[]): Promise<TokenReview>;
  /**
   * Whether a user may list a kind of Lazyscope, by SubjectAccessReview; without a namespace: in
   * every namespace.
   */
  mayList(user: TokenReview, plural: 'workloadscopes', namespace?: string): Promise<boolean>;
  /** Closes connections; watches must have been stopped. */
  close(): void;
};

/** The status of an unsuccessful answer of the API server, or 0 if it did not answer. */
export class KubeError extends Error {
  readonly status: number;
  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'KubeError';
    this.status = status;
  }
}

export function isKubeError(error: unknown, status: number): boolean {
  return error instanceof KubeError && error.status === status;
}
