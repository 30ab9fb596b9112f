import type { KubeObject } from '../../kube/object.ts';
import { type FirstCall, firstCalls } from '../first-call/strategy.ts';
import { sharedText } from '../mesh/shared-text.ts';
import { type Condition, type Mode, parseMode, timeIn } from './condition.ts';
import { type Edge, lastSeenGrainMs, type Source } from './edges.ts';
import { durationMs } from './expiry.ts';
import type { Watched } from './learning.ts';
import { managedBy, scopeApiVersion } from './sidecar.ts';
import type { Workload } from './workload.ts';

/** `WorkloadScope`: the user's intent, and the learned data of the workload, kept over restarts. */
export type ScopeRecord = {
  namespace: string;
  name: string;
  uid: string;
  version: number;
  created: number;
  selector: Record<string, string>;
  mode: Mode | undefined;
  firstCall: FirstCall | undefined;
  pins: string[];
  excludes: string[];
  /** How long an unused destination stays; undefined: the controller's setting. */
  ttlMs: number | undefined;
  /** The user set something in `spec`, so the controller must not delete the object. */
  isIntended: boolean;
  owners: string[];
  status: ScopeStatus | undefined;
};

export type ScopeStatus = {
  /** The release of the controller that wrote this; the first ones wrote none. */
  version?: string;
  mode: Mode;
  owners: string[];
  /** Since when all proxies report, one is silent, or there is no pod. */
  learningSince?: string;
  silentSince?: string;
  goneSince?: string;
  hostCount: number;
  hostsLeftOut?: number;
  /** When the workload last used any host, to the hour. */
  lastSeen?: string;
  expiry?: { ttl: string; unused: number; kept: number; reason?: string };
  hosts: {
    host: string;
    reason: string;
    message?: string;
    firstSeen?: string;
    lastSeen?: string;
  }[];
  proxies: { total: number; reporting: number; scoped: number; summary: string };
  clusters?: { before?: number; after?: number };
  memory?: { beforeBytes?: number; afterBytes?: number; before?: string; after?: string };
  conditions: Condition[];
};

/** Bytes that the scope saves over all proxies that carry it; 0 while it was not measured. */
export function savedBytes(status: ScopeStatus | undefined): number {
  const { beforeBytes = 0, afterBytes = 0 } = status?.memory ?? {};
  const scoped = status?.proxies.scoped ?? 0;
  return afterBytes > 0 ? Math.max(0, beforeBytes - afterBytes) * scoped : 0;
}

export function parseFirstCall(text: unknown): FirstCall | undefined {
  return firstCalls.find((known) => known === text);
}

export function readWorkloadScope({ metadata, spec = {}, status }: KubeObject): ScopeRecord {
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    uid: metadata.uid ?? '',
    version: Number(metadata.resourceVersion ?? 0),
    created: Date.parse(metadata.creationTimestamp ?? '') || 0,
    selector: spec.selector?.matchLabels ?? {},
    mode: parseMode(spec.mode),
    firstCall: parseFirstCall(spec.firstCall),
    pins: spec.pins ?? [],
    excludes: spec.excludes ?? [],
    ttlMs: durationMs(spec.ttl),
    isIntended: Object.keys(spec).some((field) => field !== 'selector'),
    owners: status?.owners ?? [metadata.name],
    status: status?.hosts ? withSharedTexts(status as ScopeStatus) : undefined,
  };
}

/** Thousands of scopes have the same hosts and hours. */
function withSharedTexts(status: ScopeStatus): ScopeStatus {
  const hosts = status.hosts.map(({ host, reason, message, firstSeen, lastSeen }) => ({
    host: sharedText(host),
    reason: sharedText(reason),
    ...(message && { message: sharedText(message) }),
    ...(firstSeen && { firstSeen: sharedText(firstSeen) }),
    ...(lastSeen && { lastSeen: sharedText(lastSeen) }),
  }));
  return { ...status, hosts };
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

/** How long the workload was observed, as recorded. */
export function watchedBefore(status: ScopeStatus | undefined): Watched {
  const { learningSince, silentSince } = status ?? {};
  return { learningSince: timeIn(learningSince), silentSince: timeIn(silentSince) };
}

/** The data that an earlier controller learned, for every owner of the scope. */
export function* learnedEdges(record: ScopeRecord): Generator<[Source, Edge[]]> {
  const edges = (record.status?.hosts ?? []).flatMap(({ host, reason, firstSeen, lastSeen }) => {
    const [namespace, name, ...rest] = host.split('/');
    if (reason !== 'learned' || !namespace || !name || rest.length > 0) return [];
    const first = Date.parse(firstSeen ?? '') || 0;
    // Stored rounded down and read as the latest possible time, so that it does not expire early.
    const last = (Date.parse(lastSeen ?? '') || first) + lastSeenGrainMs - 1;
    return [{ namespace, host: name, firstSeen: first, lastSeen: last }];
  });
  for (const owner of record.owners) yield [{ namespace: record.namespace, owner }, edges];
}
