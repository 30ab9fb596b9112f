import { parseClusterName } from '../../companion/core/mesh/authority.ts';
import type { ReadLine } from './access-log.ts';
import type { Seen, Sightings } from './sightings.ts';

/** Calls of access logs, counted by pod and host; bounded, whatever the logs hold. */

export type Tally = Omit<Sightings, 'byCaller'> & {
  lines: number;
  /** Outbound calls to hosts of the mesh. */
  calls: number;
  /** Lines that are no access log, and calls that came in. */
  others: number;
  /** Calls to hosts that the mesh does not know, or without a cluster: nothing to import. */
  unknown: number;
  broken: number;
  /** The first broken lines, each with its place and the reason. */
  firstBroken: string[];
  /** Outbound calls of lines that do not say whose they are. */
  nameless: number;
  /** By pod, `namespace/name` with an empty namespace if it is not known, then by host. */
  byCaller: Map<string, Map<string, Seen>>;
  /** Calls of pairs beyond the bound. */
  overflow: number;
  /** Pairs of a pod and a host, of all sources. */
  pairs: number;
};

/** 100 bytes each; a mesh of 5,000 pods with 40 destinations each. */
const pairsMax = 200_000;
/** Enough to see what is wrong. */
const brokenShown = 3;

export function emptyTally(): Tally {
  return {
    ...{ lines: 0, calls: 0, others: 0, unknown: 0, broken: 0, nameless: 0, overflow: 0, pairs: 0 },
    ...{ source: 'logs', firstBroken: [], byCaller: new Map(), first: undefined, last: undefined },
  };
}

export type Source = {
  /** The file, or `standard input`. */
  name: string;
  /** The pod or workload whose log it is, for lines that do not say. */
  caller: string | undefined;
  namespace: string;
};

/** Adds the lines of one source; sources may alternate. */
export function tallyInto(tally: Tally, read: ReadLine, source: Source): (line: string) => void {
  let number = 0;
  return (text) => {
    number += 1;
    tally.lines += 1;
    const line = read(text);
    if ('other' in line) {
      tally.others += 1;
      return;
    }
    if ('broken' in line) {
      tally.broken += 1;
      if (tally.firstBroken.length < brokenShown)
        tally.firstBroken.push(`${source.name}:${number}: ${line.broken}`);
      return;
    }
    const { cluster, at, pod } = line.call;
    const called = parseClusterName(cluster);
    if (!called) {
      if (cluster.startsWith('inbound') || cluster === 'InboundPassthroughCluster')
        tally.others += 1;
      else tally.unknown += 1;
      return;
    }
    tally.calls += 1;
    const name = pod?.name ?? source.caller;
    if (name === undefined) {
      tally.nameless += 1;
      return;
    }
    note(tally, `${pod?.namespace ?? source.namespace}/${name}`, called.host, at);
  };
}

function note(tally: Tally, key: string, host: string, at: number | undefined): void {
  if (at !== undefined) {
    tally.first = Math.min(tally.first ?? at, at);
    tally.last = Math.max(tally.last ?? at, at);
  }
  const known = tally.byCaller.get(key)?.get(host);
  if (known) {
    known.count += 1;
    if (at !== undefined) {
      known.first = Math.min(known.first ?? at, at);
      known.last = Math.max(known.last ?? at, at);
    }
    return;
  }
  if (tally.pairs >= pairsMax) {
    tally.overflow += 1;
    return;
  }
  const hosts = tally.byCaller.get(key) ?? new Map<string, Seen>();
  if (hosts.size === 0) tally.byCaller.set(copyOf(key), hosts);
  hosts.set(copyOf(host), { count: 1, first: at, last: at });
  tally.pairs += 1;
}

/** A part of a text keeps the whole text in memory, here a chunk of the file. */
function copyOf(text: string): string {
  return Buffer.from(text).toString();
}
