import { type Destination, decodeReport, ReportError } from './filter-report.ts';
import type { UnknownCall } from './rpc.ts';

/** One destination and how often it was used over the life of one filter VM. */
export type Observation = { cluster?: string; unknown?: UnknownCall; count: number };

/** What one filter VM says; a proxy has several VMs, one or two for each worker thread. */
export type VmReport = {
  filterVersion: string;
  /** Random for each VM. */
  epoch: string;
  /** Grows with every report of the VM, from 1. */
  sequence: number;
  /** Observations that this VM could not record, cumulative. */
  overflow: number;
  observations: readonly Observation[];
};

/** The body of a report as the aggregate takes it, or what is wrong with it. */
export function readVmReport(body: Uint8Array): VmReport | string {
  try {
    const { filterVersion, epoch, sequence, totals, entries } = decodeReport(body);
    return {
      filterVersion,
      epoch: epoch.toString(16),
      sequence,
      overflow: Number(totals.overflow + totals.lost),
      observations: entries.map(({ destination, count }) => observationOf(destination, count)),
    };
  } catch (error) {
    if (error instanceof ReportError) return error.message;
    throw error;
  }
}

function observationOf(destination: Destination, count: bigint): Observation {
  const { kind } = destination;
  if (kind === 'cluster') return { cluster: destination.cluster, count: Number(count) };
  const authority = kind === 'http' ? destination.authority : '';
  const unknown = { tcp: kind === 'tcp', authority, destination: destination.address };
  return { unknown, count: Number(count) };
}
