import {
  type FilterReport,
  type ReportEntry,
  totalNames,
} from '../../companion/contract/filter-report.ts';

const kinds = { cluster: 0, http: 1, tcp: 2 };

/** The body of a report, byte for byte as wasm-filter/report.ts writes it. */
export function reportBody(epoch: bigint, sequence: number, entries: ReportEntry[]): Buffer {
  const head = Buffer.alloc(112);
  head.write('LZSR', 0, 'latin1');
  head.writeUInt16LE(1, 4);
  head.writeUInt16LE(entries.length, 6);
  head.writeUInt32LE(0x000100, 8);
  head.writeUInt32LE(sequence, 12);
  head.writeBigUInt64LE(epoch, 16);
  const parts = entries.map(({ destination, count }) => {
    const key = Buffer.from(
      destination.kind === 'cluster'
        ? destination.cluster
        : destination.kind === 'tcp'
          ? destination.address
          : `${destination.authority}\0${destination.address}`,
    );
    const entry = Buffer.alloc(12);
    entry.writeUInt8(kinds[destination.kind], 0);
    entry.writeUInt16LE(key.length, 2);
    entry.writeBigUInt64LE(count, 4);
    return Buffer.concat([entry, key]);
  });
  return Buffer.concat([head, ...parts]);
}

/**
 * The report of the filter VM with this name as the companion decodes it: clusters with their
 * counts.
 */
export function filterReport(
  vm: string,
  sequence: number,
  counts: Record<string, number>,
): FilterReport {
  return {
    filterVersion: '0.1.0',
    epoch: epochOf(vm),
    sequence,
    totals: Object.fromEntries(totalNames.map((name) => [name, 0n])) as FilterReport['totals'],
    entries: Object.entries(counts).map(([name, count]) => clusterEntry(name, BigInt(count))),
  };
}

export function epochOf(vm: string): bigint {
  return BigInt(`0x${Buffer.from(vm).toString('hex')}`);
}

export function clusterEntry(cluster: string, count: bigint): ReportEntry {
  return { destination: { kind: 'cluster', cluster }, count };
}
