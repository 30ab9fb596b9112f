import { isIP } from 'node:net';
import { holdsAddress } from '../mesh/address-index.ts';
import { type Address, hostOfAuthority, parseAddress } from '../mesh/authority.ts';
import type { Catalog } from '../mesh/catalog.ts';
import { hasPort, inOrder, shownTo, virtualServicesOf } from '../mesh/host-lookup.ts';
import { type HostIndex, isWildcard } from '../mesh/host-pattern.ts';
import type { PodRecord } from '../mesh/pod-record.ts';
import type { HostRecord } from '../mesh/records.ts';
import type { VirtualServiceRecord } from '../mesh/rules.ts';

/** A call without a route, as the filter saw it. */
export type UnknownCall = { tcp: boolean; authority: string; destination: string };

/** What finds the hosts that names and addresses mean: a catalog, or a compact one. */
export type Registry<Pod> = Pick<
  Catalog,
  'hostsAt' | 'servicesOfEndpoint' | 'exportsOf' | 'isVisible'
> & {
  hosts: Pick<HostIndex<HostRecord>, 'exact' | 'mostSpecific'>;
  virtualServices: Pick<HostIndex<VirtualServiceRecord>, 'mostSpecific'>;
  podAt(ip: string): Pod | undefined;
};

/** The destination of a call. */
export type Resolution<Pod = PodRecord> = {
  /** `virtual`: a host that exists only in a VirtualService; `external`: not a host of the mesh. */
  kind: 'service' | 'entry' | 'virtual' | 'external';
  /** The host as the registry names it; for `virtual`, as the caller named it. */
  host: string;
  port: number;
  /** The address that the app called. */
  ip: string;
  record?: HostRecord;
  /** VirtualServices for the mesh that apply to the host. */
  virtualServices: readonly VirtualServiceRecord[];
  /** The pod that was called by its own address: only this pod can answer. */
  pod?: Pod;
  /** The address that the app called belongs to the host, so the call can reach nothing else. */
  addressed: boolean;
  /** Whether a scope with this host gives the next such call a route. */
  learnable: boolean;
};

export type Caller = { namespace: string; clusterDomain: string };

/** Finds the destination of a call by istiod's rules for names. */
export function resolve<Pod>(
  catalog: Registry<Pod>,
  call: UnknownCall,
  caller: Caller,
): Resolution<Pod> {
  const address = parseAddress(call.destination);
  const host = call.tcp ? undefined : hostOfAuthority(call.authority);
  return (
    (host && address && isIP(host) === 0 && byName(catalog, host, address, caller)) ||
    (address && byAddress(catalog, call, address, caller)) ||
    external(host ?? address?.ip ?? '', address)
  );
}

function external(host: string, address: Address | undefined): Resolution<never> {
  const { ip = '', port = 0 } = address ?? {};
  const where = { host, port, ip };
  return {
    kind: 'external',
    ...where,
    virtualServices: [],
    addressed: false,
    learnable: false,
  };
}

function byName<Pod>(
  catalog: Registry<Pod>,
  name: string,
  { ip, port }: Address,
  caller: Caller,
): Resolution<Pod> | undefined {
  const record = recordByName(catalog, name, port, caller);
  const host = record?.host ?? name;
  const called = isWildcard(host) ? name : host;
  const virtualServices = virtualServicesOf(catalog, called, caller.namespace);
  if (!record) {
    // istiod routes a host without a Service on port 80 only
    // (pilot/pkg/networking/core/route/route.go, buildSidecarVirtualHostsForVirtualService).
    if (virtualServices.length === 0 || port !== 80) return undefined;
    return { kind: 'virtual', host, port, ip, virtualServices, addressed: false, learnable: true };
  }
  const pod = record.headless ? catalog.podAt(ip) : undefined;
  return {
    kind: record.kind,
    host,
    port,
    ip,
    record,
    virtualServices,
    ...(pod && { pod }),
    addressed: isAddressOf(catalog, record, ip),
    learnable: true,
  };
}

function isAddressOf(catalog: Registry<unknown>, record: HostRecord, ip: string): boolean {
  return (
    record.anyAddress ||
    record.addresses.some((address) => holdsAddress(address, ip)) ||
    catalog.servicesOfEndpoint(ip).includes(record)
  );
}

/**
 * The names under which istiod makes a host reachable (pilot/pkg/networking/core/httproute.go,
 * generateVirtualHostDomains): the full name, `name.ns.svc`, `name.ns`, `name` in its own
 * namespace, and pods of headless services by `pod.name...`.
 */
function recordByName(
  catalog: Registry<unknown>,
  name: string,
  port: number,
  caller: Caller,
): HostRecord | undefined {
  let alias = aliasNamed(catalog, name, caller);
  // To istiod, an ExternalName that names a host of the mesh is another name of that host
  // (pilot/pkg/model/push_context.go, resolveServiceAliases). A circle of aliases leads nowhere.
  for (let steps = 0; alias && steps < aliasStepsMax; steps++) {
    const record = recordNamed(catalog, alias, port, caller);
    if (record && !record.aliasOf) return record;
    alias = aliasNamed(catalog, alias, caller);
  }
  return recordNamed(catalog, name, port, caller);
}

/** Longer chains of aliases are not written in practice. */
const aliasStepsMax = 8;

/** The record that an ExternalName stands for; such a Service has the ports of its target. */
function aliasNamed(catalog: Registry<unknown>, name: string, caller: Caller): string | undefined {
  for (const full of fullNames(name, caller)) {
    const [record] = shownTo(catalog, catalog.hosts.exact(full), caller.namespace);
    if (record) return record.aliasOf;
  }
  return undefined;
}

/**
 * The record that a name means on a port. Istio routes a name only on the ports that it declares,
 * each separately: a wildcard with the port applies if the exact host has only other ports.
 */
function recordNamed(
  catalog: Registry<unknown>,
  name: string,
  port: number,
  caller: Caller,
): HostRecord | undefined {
  const { namespace, clusterDomain } = caller;
  const named = (host: string) =>
    shownTo(catalog, catalog.hosts.exact(host), namespace).find((each) => hasPort(each, port));
  const inFull = fullNames(name, caller);
  for (const full of inFull) {
    const record = named(full);
    if (record) return record;
  }
  for (const full of inFull) {
    const parent = full.slice(full.indexOf('.') + 1);
    if (!parent.endsWith(`.svc.${clusterDomain}`)) continue;
    const record = named(parent);
    if (record?.headless) return record;
  }
  const [found] = catalog.hosts.mostSpecific(name, ({ host }) => named(host) !== undefined);
  return found && named(found.host);
}

function fullNames(name: string, { namespace, clusterDomain }: Caller): string[] {
  const domain = `.svc.${clusterDomain}`;
  if (name.endsWith(domain)) return [name];
  if (!name.includes('.')) return [`${name}.${namespace}${domain}`, name];
  return [name, name.endsWith('.svc') ? `${name}.${clusterDomain}` : `${name}${domain}`];
}

function byAddress<Pod>(
  catalog: Registry<Pod>,
  call: UnknownCall,
  address: Address,
  caller: Caller,
): Resolution<Pod> | undefined {
  const first = (records: readonly HostRecord[]) =>
    inOrder(catalog, records, caller.namespace).find(
      (each) =>
        hasPort(each, address.port) &&
        shownTo(catalog, catalog.hosts.exact(each.host), caller.namespace).includes(each),
    );
  // A range that the caller does not see hides no wider one.
  const isSeen = (record: HostRecord) => catalog.isVisible(record, caller.namespace);
  const found = first(catalog.hostsAt(address.ip, isSeen));
  if (found) return ofAddress(found, call, address);

  // Requests are routed by name only: the address of a pod is not a name, not even for a headless
  // Service.
  const pod = call.tcp ? catalog.podAt(address.ip) : undefined;
  if (!pod) return undefined;
  // To istiod, the address of a pod has a meaning only if a headless Service has it.
  const owner = first(catalog.servicesOfEndpoint(address.ip).filter(({ headless }) => headless));
  return owner && { ...ofAddress(owner, call, address), pod };
}

function ofAddress(
  record: HostRecord,
  call: UnknownCall,
  { ip, port }: Address,
): Resolution<never> {
  const protocol = record.ports.find((each) => each.port === port)?.protocol;
  return {
    kind: record.kind,
    host: record.host,
    port,
    ip,
    record,
    // Rules of a VirtualService apply to the name in the request, and this name means something
    // else.
    virtualServices: [],
    addressed: true,
    // A port declared as HTTP is routed by name only: importing the host would not route this call.
    learnable:
      !isWildcard(record.host) &&
      (call.tcp || protocol !== 'http' || isIP(hostOfAuthority(call.authority) ?? '') !== 0),
  };
}
