import type { Catalog } from './catalog.ts';
import type { HostRecord } from './records.ts';
import type { VirtualServiceRecord } from './rules.ts';

/** The caller's namespace first, then Kubernetes over ServiceEntry, then by name, as istiod picks. */
export function pick(records: readonly HostRecord[], namespace: string): HostRecord | undefined {
  const rank = (record: HostRecord) =>
    (record.namespace === namespace ? 0 : 2) + (record.kind === 'service' ? 0 : 1);
  return [...records].sort((a, b) => rank(a) - rank(b) || (a.namespace < b.namespace ? -1 : 1))[0];
}

/** Mesh VirtualServices that rule over a host, as seen from a namespace. */
export function virtualServicesOf(
  catalog: Catalog,
  host: string,
  namespace: string,
): readonly VirtualServiceRecord[] {
  return catalog.virtualServices.mostSpecific(host, (each) => catalog.isVisible(each, namespace));
}
