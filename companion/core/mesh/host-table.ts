import { type AddressIndex, createAddressIndex } from './address-index.ts';
import { createHostIndex, type HostIndex } from './host-pattern.ts';
import { createMultimap, type Multimap } from './multimap.ts';
import type { HostRecord } from './records.ts';

/** Every host of the registry, by all that it is looked up by. */
export type HostTable = {
  readonly byName: HostIndex<HostRecord>;
  readonly byAddress: AddressIndex<HostRecord>;
  /** Services by the ports that they declare as TCP. */
  readonly byTcpPort: Multimap<HostRecord>;
  /** Services of type ExternalName by the host that they stand for. */
  readonly aliases: Multimap<HostRecord>;
  /** Services of type ExternalName that stand for the host, by themselves or by another of them. */
  aliasesOf(host: string): HostRecord[];
  /** Services by `namespace/name`. */
  readonly services: ReadonlyMap<string, HostRecord>;
  /** Hosts that no object of this cluster explains. */
  readonly far: ReadonlySet<HostRecord>;
  /** The host of a Service, or those of a ServiceEntry. */
  named(object: Pick<HostRecord, 'kind' | 'namespace' | 'name'>): readonly HostRecord[];
  /** Every host of a ServiceEntry. */
  readonly entries: ReadonlySet<HostRecord>;
  add(record: HostRecord): void;
  remove(record: HostRecord): void;
};

export function createHostTable(): HostTable {
  const byName = createHostIndex<HostRecord>();
  const byAddress = createAddressIndex<HostRecord>();
  const byTcpPort = createMultimap<HostRecord>();
  const aliases = createMultimap<HostRecord>();
  const services = new Map<string, HostRecord>();
  const entries = new Set<HostRecord>();
  const far = new Set<HostRecord>();
  const entriesByName = createMultimap<HostRecord>();

  function touch(verb: 'add' | 'remove', record: HostRecord): void {
    byName[verb](record.host, record);
    for (const address of record.addresses) byAddress[verb](address, record);
    if (record.kind === 'entry') {
      entriesByName[verb](`${record.namespace}/${record.name}`, record);
      return;
    }
    if (record.aliasOf) aliases[verb](record.aliasOf, record);
    for (const { port, protocol } of record.ports) {
      if (protocol === 'tcp') byTcpPort[verb](String(port), record);
    }
  }

  return {
    byName,
    byAddress,
    byTcpPort,
    aliases,
    aliasesOf(host) {
      // Each name once: aliases may lead in a circle.
      const found = new Map<string, HostRecord | undefined>([[host, undefined]]);
      for (const name of found.keys()) {
        for (const alias of aliases.get(name)) {
          if (!found.has(alias.host)) found.set(alias.host, alias);
        }
      }
      return [...found.values()].flatMap((alias) => alias ?? []);
    },
    services,
    named({ kind, namespace, name }) {
      const key = `${namespace}/${name}`;
      if (kind === 'entry') return entriesByName.get(key);
      const service = services.get(key);
      return service ? [service] : [];
    },
    entries,
    far,
    add(record) {
      if (record.isFar) far.add(record);
      else if (record.kind === 'entry') entries.add(record);
      else services.set(`${record.namespace}/${record.name}`, record);
      touch('add', record);
    },
    remove(record) {
      if (record.isFar) far.delete(record);
      else if (record.kind === 'entry') entries.delete(record);
      else services.delete(`${record.namespace}/${record.name}`);
      touch('remove', record);
    },
  };
}
