import type { KubeObject, Resource } from './object.ts';

/** Collections by kind, for objects to write, which have a kind instead of a plural. */
const plurals: Record<string, string> = {
  ConfigMap: 'configmaps',
  Event: 'events',
  Lease: 'leases',
  Namespace: 'namespaces',
  Node: 'nodes',
  NodeFeature: 'nodefeatures',
  Secret: 'secrets',
  ServiceEntry: 'serviceentries',
  Sidecar: 'sidecars',
  TokenReview: 'tokenreviews',
  WorkloadScope: 'workloadscopes',
};

/** Path of a collection, or of one object in it. */
export function collectionPath(resource: Resource, namespace?: string, name?: string): string {
  const { group, version, plural } = resource;
  const root = group ? `/apis/${group}/${version}` : `/api/${version}`;
  const inNamespace = namespace ?? resource.namespace;
  const scope = inNamespace ? `/namespaces/${encodeURIComponent(inNamespace)}` : '';
  return `${root}${scope}/${plural}${name ? `/${encodeURIComponent(name)}` : ''}`;
}

/** Path of an object to write, or of the collection to create it in. */
export function objectPath(object: KubeObject, of: 'object' | 'collection' = 'object'): string {
  const plural = plurals[object.kind];
  if (!plural) throw new Error(`kind ${object.kind}: not in the table of kinds that are written`);
  const [group, version] = object.apiVersion.includes('/')
    ? (object.apiVersion.split('/') as [string, string])
    : ['', object.apiVersion];
  const { name, namespace } = object.metadata;
  return collectionPath({ group, version, plural }, namespace, of === 'object' ? name : undefined);
}
