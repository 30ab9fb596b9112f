import type { KubeObject } from '../kube.ts';
import type { Edge, Source } from './edges.ts';
import { figuresOf } from './figures.ts';
import type { Mode, ProxyCount, Scoped } from './plan.ts';
import type { ProxyState } from './proxies.ts';
import { entryOf, type ScopeHost } from './scope.ts';
import { managedBy, scopeApiVersion } from './sidecar.ts';
import { type Setting, settings } from './strategy.ts';
import type { Workload } from './workload.ts';

/** `WorkloadScope`: the intent of its user, and what is known of the workload, kept over restarts. */
export type ScopeRecord = {
  namespace: string;
  name: string;
  uid: string;
  version: number;
  created: number;
  selector: Record<string, string>;
  mode: Mode | undefined;
  firstCall: Setting | undefined;
  pins: string[];
  excludes: string[];
  owners: string[];
  status: ScopeStatus | undefined;
};

export type Condition = Scoped & { type: string; lastTransitionTime: string };

export type ScopeStatus = {
  mode: Mode;
  owners: string[];
  hostCount: number;
  hosts: { host: string; reason: string; firstSeen?: string; lastSeen?: string }[];
  proxies: { total: number; reporting: number; scoped: number; summary: string };
  clusters?: { before?: number; after?: number };
  memory?: { beforeBytes?: number; afterBytes?: number; before?: string; after?: string };
  conditions: Condition[];
};

export const modes: readonly Mode[] = ['observe', 'enforce', 'off'];

export function modeOf(text: unknown): Mode | undefined {
  return modes.find((mode) => mode === text);
}

export function settingOf(text: unknown): Setting | undefined {
  return settings.find((setting) => setting === text);
}

export function readWorkloadScope({ metadata, spec = {}, status }: KubeObject): ScopeRecord {
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    uid: metadata.uid ?? '',
    version: Number(metadata.resourceVersion ?? 0),
    created: Date.parse(metadata.creationTimestamp ?? '') || 0,
    selector: spec.selector?.matchLabels ?? {},
    mode: modeOf(spec.mode),
    firstCall: settingOf(spec.firstCall),
    pins: spec.pins ?? [],
    excludes: spec.excludes ?? [],
    owners: status?.owners ?? [metadata.name],
    status: status?.hosts ? (status as ScopeStatus) : undefined,
  };
}

/** The part of a WorkloadScope that the controller writes into `spec`. */
export function workloadScopeOf({ namespace, name, selector }: Workload): KubeObject {
  return {
    apiVersion: scopeApiVersion,
    kind: 'WorkloadScope',
    metadata: { name, namespace, labels: { ...managedBy } },
    spec: { selector: { matchLabels: { ...selector } } },
  };
}

/** What an earlier controller had learned, for every owner that the scope was for. */
export function* learnedEdges(record: ScopeRecord): Generator<[Source, Edge[]]> {
  const edges = (record.status?.hosts ?? []).flatMap(({ host, reason, firstSeen, lastSeen }) => {
    const [namespace, name, ...rest] = host.split('/');
    if (reason !== 'learned' || !namespace || !name || rest.length > 0) return [];
    const first = Date.parse(firstSeen ?? '') || 0;
    return [
      { namespace, host: name, firstSeen: first, lastSeen: Date.parse(lastSeen ?? '') || first },
    ];
  });
  for (const owner of record.owners) yield [{ namespace: record.namespace, owner }, edges];
}

/** How coarse `lastSeen` is: every change of it is a write of the whole object to etcd. */
const lastSeenGrainMs = 3_600_000;

export type StatusInput = {
  mode: Mode;
  workload: Workload;
  hosts: readonly ScopeHost[];
  proxies: ProxyCount;
  states: readonly ProxyState[];
  scoped: Scoped;
  /** The Sidecar was made in this very turn: what was measured so far is full configuration. */
  justScoped: boolean;
  before: ScopeStatus | undefined;
  now: number;
};

export function statusOf(input: StatusInput): ScopeStatus {
  const { mode, workload, hosts, proxies, scoped, before, now } = input;
  const condition = conditionOf(scoped, before, now);
  const { full, narrow } = figuresOf(input, scopedOf(before), condition);
  return {
    mode,
    owners: workload.owners,
    hostCount: hosts.length,
    hosts: hosts.map(({ entry, reason, edge }) => ({
      host: entry,
      reason,
      ...(edge && {
        firstSeen: timeOf(edge.firstSeen),
        lastSeen: timeOf(Math.floor(edge.lastSeen / lastSeenGrainMs) * lastSeenGrainMs),
      }),
    })),
    proxies: {
      total: proxies.total,
      reporting: proxies.live,
      scoped: scoped.status === 'True' ? proxies.total : 0,
      summary: `${proxies.live}/${proxies.total}`,
    },
    ...section('clusters', { before: full?.clusters, after: narrow?.clusters }),
    ...section('memory', {
      beforeBytes: full?.bytes,
      afterBytes: narrow?.bytes,
      before: full?.bytes && megabytes(full.bytes),
      after: narrow?.bytes && megabytes(narrow.bytes),
    }),
    conditions: [condition],
  };
}

function conditionOf(scoped: Scoped, before: ScopeStatus | undefined, now: number): Condition {
  const known = scopedOf(before);
  const since = known?.status === scoped.status ? known.lastTransitionTime : timeOf(now);
  return { type: 'Scoped', ...scoped, lastTransitionTime: since };
}

function scopedOf(status: ScopeStatus | undefined): Condition | undefined {
  return status?.conditions?.find(({ type }) => type === 'Scoped');
}

function section(name: string, fields: Record<string, unknown>): Record<string, unknown> {
  const present = Object.entries(fields).filter(([, value]) => value !== undefined);
  return present.length > 0 ? { [name]: Object.fromEntries(present) } : {};
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)}MB`;
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');
}

/** Usage that moved by less than this share is not worth a write. */
const usageGrain = 0.03;
/** A change of this share of the clusters is what people wait for: a scope that came or went. */
const clustersGrain = 0.25;

/**
 * What is different enough to write: `now` for what people act on (hosts, mode, conditions), `soon`
 * for figures that appear or are of another kind, `later` for other counts and usage, `no` for nothing.
 */
export function statusChange(
  before: ScopeStatus | undefined,
  after: ScopeStatus,
): 'now' | 'soon' | 'later' | 'no' {
  if (!before) return 'now';
  const essence = ({ mode, owners, hosts, conditions }: ScopeStatus) =>
    JSON.stringify([
      mode,
      owners,
      hosts.map(({ host, reason }) => [host, reason]),
      // Others may add conditions of their own.
      conditions
        .filter(({ type }) => type === 'Scoped')
        .map(({ status, reason }) => [status, reason]),
    ]);
  if (essence(before) !== essence(after)) return 'now';
  const times = ({ hosts, proxies }: ScopeStatus) =>
    JSON.stringify([hosts.map(({ lastSeen }) => lastSeen ?? ''), proxies.summary, proxies.scoped]);
  const clusters = [
    [before.clusters?.before, after.clusters?.before],
    [before.clusters?.after, after.clusters?.after],
  ];
  if (moved(clusters, clustersGrain)) return 'soon';
  const memory = [
    [before.memory?.beforeBytes, after.memory?.beforeBytes],
    [before.memory?.afterBytes, after.memory?.afterBytes],
  ];
  const isMoved = moved([...clusters, ...memory], usageGrain);
  return times(before) !== times(after) || isMoved ? 'later' : 'no';
}

/** Whether one of the pairs differs by more than a share, or one side of it is missing. */
function moved(pairs: (number | undefined)[][], share: number): boolean {
  return pairs.some(([a, b]) => a !== b && (!a || !b || Math.abs(a - b) / a > share));
}

/** Entries that a record's user excluded. */
export function isExcluded(record: ScopeRecord | undefined, entry: Parameters<typeof entryOf>[0]) {
  return record?.excludes.includes(entryOf(entry)) ?? false;
}
