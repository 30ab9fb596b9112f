import type { HostRecord, SliceRecord } from './records.ts';

/**
 * Which scopes the changes of Services and their endpoints concern. These change too often for a
 * new look at every workload each time, and most scopes do not have the Service that changed.
 */
export type ServiceChanges = {
  /** The number of changes so far that concern some scope. */
  version(): number;
  /** Something changed that may concern every scope. */
  noteAny(): void;
  /** An object of the kind had the records before and has others now; none if it is not there. */
  note(kind: string, before: readonly unknown[], after: readonly unknown[]): void;
  /**
   * Whether a scope may have other entries than at that version. `names`: its entries then, and the
   * addresses of its pods.
   */
  mayConcern(version: number, names: Iterable<string>): boolean;
};

/** What else decides which scopes have a Service. */
type Around = {
  /** Whether a VirtualService or DestinationRule is for the host. */
  isRuled(host: string): boolean;
  /** Whether a ServiceImport is for the Service `namespace/name`, and so has its visibility. */
  isImported(name: string): boolean;
  /** Whether some Service declares the port as TCP. */
  isTcp(port: number): boolean;
  /** The Service `namespace/name`. */
  serviceOf(name: string): HostRecord | undefined;
  /** The namespace of the pod that has the address. */
  namespaceAt(ip: string): string | undefined;
};

/** Entries and addresses that are remembered; with more, every scope may be concerned once. */
const namesMax = 20_000;

export function createServiceChanges(around: Around): ServiceChanges {
  /** The version at which an entry `namespace/host`, or an address, changed last. */
  const changedAt = new Map<string, number>();
  let version = 0;
  /** When a change may last have concerned scopes without the host. */
  let anyAt = 0;

  function set(name: string): void {
    version += 1;
    changedAt.set(name, version);
    if (changedAt.size <= namesMax) return;
    changedAt.clear();
    anyAt = version;
  }

  function noteAny(): void {
    version += 1;
    anyAt = version;
  }

  function noteService(before: HostRecord | undefined, after: HostRecord | undefined): void {
    const record = after ?? before;
    if (!record) return;
    const { host, namespace, name } = record;
    const isRuled = around.isRuled(host) || around.isImported(`${namespace}/${name}`);
    if (essenceOf(before, isRuled, around) === essenceOf(after, isRuled, around)) return;
    if (isRuled || isSpecial(before) || isSpecial(after)) noteAny();
    else set(`${namespace}/${host}`);
  }

  /**
   * A DestinationRule for a host is also for the pods that serve it (core/scope/served.ts). Pods
   * behind a Service without a selector may be of namespaces with policies (policy-hosts.ts).
   */
  function noteServers(before: SliceRecord | undefined, after: SliceRecord | undefined): void {
    const service = around.serviceOf((after ?? before)?.service ?? '');
    if (!service) return;
    const { namespace, host, selector } = service;
    const areElsewhere = namespacesOf(before, around) !== namespacesOf(after, around);
    if (!selector && areElsewhere) set(`${namespace}/${host}`);
    if (!around.isRuled(host)) return;
    const [old, fresh] = [ipsOf(before), ipsOf(after)];
    for (const ip of old) if (!fresh.has(ip)) set(ip);
    for (const ip of fresh) if (!old.has(ip)) set(ip);
  }

  return {
    version: () => version,
    noteAny,
    note(kind, before, after) {
      const [was, is] = [before[0], after[0]];
      if (kind === 'Service') noteService(was as HostRecord, is as HostRecord);
      // Whether a namespace has policies decides about hosts (core/scope/policy-hosts.ts).
      if (kind === 'PeerAuthentication' && before.length !== after.length) noteAny();
      // A proxy that answers DNS has every host of other clusters in its scope.
      if (kind === 'FarHost') noteAny();
      if (kind === 'EndpointSlice') noteServers(was as SliceRecord, is as SliceRecord);
    },
    mayConcern(since, names) {
      if (version === since) return false;
      if (anyAt > since) return true;
      for (const name of names) {
        if (name.includes('*') || (changedAt.get(name) ?? 0) > since) return true;
      }
      return false;
    },
  };
}

function namespacesOf(slice: SliceRecord | undefined, { namespaceAt }: Around): string {
  const found = slice?.endpoints.map(({ ip, pod }) => pod?.split('/')[0] ?? namespaceAt(ip) ?? '');
  return [...new Set(found)].sort().join();
}

function ipsOf(slice: SliceRecord | undefined): Set<string> {
  return new Set(slice?.endpoints.map(({ ip }) => ip));
}

/** What scopes depend on; HTTP ports are free to change while no TCP Service has the same. */
function essenceOf(
  record: HostRecord | undefined,
  isRuled: boolean,
  { isTcp }: Pick<Around, 'isTcp'>,
): string {
  if (!record || isRuled) return JSON.stringify(record) ?? '';
  const { namespace, host, exportTo, aliasOf, ports, selector } = record;
  const others = ports.filter(({ port, protocol }) => protocol !== 'http' || isTcp(port));
  return JSON.stringify([namespace, host, exportTo ?? '', aliasOf, !selector, others]);
}

/**
 * The host may enter scopes without calls: as another name of a host, or beside HTTP on a port of
 * TCP (core/scope/eager.ts).
 */
function isSpecial(record: HostRecord | undefined): boolean {
  if (!record) return false;
  return record.aliasOf !== '' || record.ports.some(({ protocol }) => protocol !== 'http');
}
