import type { KubeObject } from '../../kube/object.ts';
import { matchesHost } from '../mesh/host-pattern.ts';
import { selects } from '../mesh/label-selector.ts';
import type { PodRecord } from '../mesh/pod-record.ts';
import { isTakenIn, revisionLabelOf } from '../mesh/revision.ts';
import { sharedText } from '../mesh/shared-text.ts';
import type { Workload } from './workload.ts';

/** Marks Lazyscope's objects; others are never changed. */
export const managedBy = { 'app.kubernetes.io/managed-by': 'lazyscope' } as const;
export const scopeApiVersion = 'lazyscope.io/v1alpha1';

// biome-ignore lint/suspicious/noExplicitAny: parts of other people's Sidecars are copied unread.
type SidecarSpec = Record<string, any>;

export type SidecarRecord = {
  namespace: string;
  name: string;
  uid: string;
  version: number;
  created: string;
  /** Undefined: applies to every workload of its namespace. */
  selector: Readonly<Record<string, string>> | undefined;
  ours: boolean;
  ownerUid: string;
  /** The revision of istiod that it applies to; undefined: all. */
  revision: string | undefined;
  spec: SidecarSpec;
};

export function readSidecar(object: KubeObject): SidecarRecord {
  const { metadata, spec = {} } = object;
  const owner = metadata.ownerReferences?.find(({ kind }) => kind === 'WorkloadScope');
  const labels = spec.workloadSelector?.labels as Record<string, string> | undefined;
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    uid: metadata.uid ?? '',
    version: Number(metadata.resourceVersion ?? 0),
    created: metadata.creationTimestamp ?? '',
    selector: labels && Object.keys(labels).length > 0 ? labels : undefined,
    ours: selects(managedBy, metadata.labels ?? {}) && owner !== undefined,
    ownerUid: owner?.uid ?? '',
    revision: revisionLabelOf(object),
    spec: withSharedHosts(spec),
  };
}

/** The same hosts are in thousands of Sidecars. */
function withSharedHosts(spec: SidecarSpec): SidecarSpec {
  if (!Array.isArray(spec.egress)) return spec;
  const egress = spec.egress.map((each) => {
    const hosts: unknown = each?.hosts;
    if (!Array.isArray(hosts)) return each;
    return {
      ...each,
      hosts: hosts.map((host) => (typeof host === 'string' ? sharedText(host) : host)),
    };
  });
  return { ...spec, egress };
}

export function sidecarName(workload: { name: string }): string {
  return `lazyscope-${workload.name}`;
}

/** A Sidecar of another owner that already selects a pod of the workload; the oldest if several. */
export function foreignSidecar(
  sidecars: Iterable<SidecarRecord>,
  workload: Workload,
): SidecarRecord | undefined {
  return oldest(
    [...sidecars].filter(
      ({ ours, selector, namespace, revision }) =>
        !ours &&
        namespace === workload.namespace &&
        selector !== undefined &&
        workload.pods.some(
          (pod) => selects(selector, pod.labels) && isTakenIn(revision, pod.revision),
        ),
    ),
  );
}

/**
 * The default Sidecar that the workload's Sidecar replaces: the namespace's own, else the root
 * namespace's (Istio pilot/pkg/model/push_context.go, getSidecarScope). If the pods have several
 * revisions, one revision with a default is enough.
 */
export function shadowedSidecar(
  sidecars: Iterable<SidecarRecord>,
  { namespace, pods }: { namespace: string; pods: readonly Pick<PodRecord, 'revision'>[] },
  rootNamespace: string,
): SidecarRecord | undefined {
  const defaults = [...sidecars].filter(
    ({ ours, selector, revision }) =>
      !ours && selector === undefined && pods.some((pod) => isTakenIn(revision, pod.revision)),
  );
  return (
    oldest(defaults.filter((each) => each.namespace === namespace)) ??
    oldest(defaults.filter((each) => each.namespace === rootNamespace))
  );
}

function oldest(records: SidecarRecord[]): SidecarRecord | undefined {
  return records.sort((a, b) => (`${a.created}/${a.name}` < `${b.created}/${b.name}` ? -1 : 1))[0];
}

type Listener = {
  port?: { number?: number };
  bind?: string;
  captureMode?: string;
  hosts?: string[];
};

/** The part of a default Sidecar that decides which hosts its namespace may import. */
export type ImportRules = Pick<SidecarRecord, 'namespace' | 'name'> & {
  spec: { egress?: unknown };
};

function egressOf({ spec }: Pick<ImportRules, 'spec'>): Listener[] {
  return (spec.egress ?? []) as Listener[];
}

/**
 * Whether a default lets its namespace import the entry (`namespace/host`): the listener of the
 * port, else the one without a port (pilot/pkg/model/sidecar.go, GetEgressListenerForRDS).
 */
export function admits(
  shadowed: ImportRules | undefined,
  entry: string,
  namespace: string,
  port = 0,
): boolean {
  const egress = shadowed ? egressOf(shadowed) : [];
  if (egress.length === 0) return true;
  const ofPort = port > 0 && egress.find((listener) => listener.port?.number === port);
  const rules = (ofPort || egress.find(isCatchAll))?.hosts ?? [];
  const covers = (rule: string) => coversEntry(rule, entry, namespace);
  const excluded = rules.some((rule) => /^~.*\/./.test(rule) && covers(rule.slice(1)));
  return !excluded && rules.some((rule) => !rule.startsWith('~') && covers(rule));
}

function isCatchAll({ port }: Listener): boolean {
  return port === undefined;
}

/**
 * Why a workload under this default cannot be narrowed; undefined if it can. If each imported host
 * has its own listener, a host that is not imported has no listener for its first call.
 */
export function unnarrowable(shadowed: SidecarRecord): string | undefined {
  const egress = egressOf(shadowed);
  const catchAll = egress.find(isCatchAll);
  const what = `default Sidecar ${shadowed.namespace}/${shadowed.name}`;
  if (egress.length > 0 && !catchAll)
    return `The ${what} has listeners for single ports only, so unknown calls have no listener.`;
  if (catchAll?.captureMode === 'NONE' || catchAll?.bind) {
    return `The ${what} binds a listener for each imported host, so other hosts would have no listener.`;
  }
  return undefined;
}

/** Where a default sends unknown calls, and the object that says so. */
export function egressProxyOf(
  shadowed: SidecarRecord | undefined,
): { host: string; message: string } | undefined {
  const host: unknown = shadowed?.spec.outboundTrafficPolicy?.egressProxy?.host;
  if (!shadowed || typeof host !== 'string') return undefined;
  const message = `Sidecar ${shadowed.namespace}/${shadowed.name} sends unknown calls to this host (egressProxy)`;
  return { host: host.toLowerCase(), message };
}

function coversEntry(rule: string, entry: string, namespace: string): boolean {
  const [ruleNamespace = '', pattern = ''] = rule.split('/');
  const [entryNamespace = '', host = ''] = entry.split('/');
  const of = ruleNamespace === '.' ? namespace : ruleNamespace;
  // istiod's source of the host is unknown here; a proxy has reported under this rule that it
  // exists.
  const isMeant = of === '*' || of === '' || of === entryNamespace || entryNamespace === '*';
  return isMeant && matchesHost(pattern, host);
}

export type SidecarInput = {
  workload: Workload;
  /** The WorkloadScope that owns the Sidecar, so that Kubernetes deletes the Sidecar with it. */
  owner: { name: string; uid: string };
  /** Sorted entries of `egress.hosts`. */
  hosts: readonly string[];
  shadowed: SidecarRecord | undefined;
};

/**
 * Fields of a default Sidecar that the workload's Sidecar must repeat, or it would switch them off.
 */
const repeated = ['ingress', 'inboundConnectionPool', 'outboundTrafficPolicy'] as const;

/** The Sidecar of a workload. The same input gives the same bytes. */
export function sidecarOf({ workload, owner, hosts, shadowed }: SidecarInput): KubeObject {
  const copied = repeated.filter((field) => shadowed?.spec[field] !== undefined);
  const ofPorts = shadowed ? egressOf(shadowed).filter((listener) => !isCatchAll(listener)) : [];
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Sidecar',
    metadata: {
      name: sidecarName(workload),
      namespace: workload.namespace,
      labels: { ...managedBy },
      ownerReferences: [
        {
          apiVersion: scopeApiVersion,
          kind: 'WorkloadScope',
          name: owner.name,
          uid: owner.uid,
          controller: true,
          blockOwnerDeletion: false,
        },
      ],
    },
    spec: {
      workloadSelector: { labels: { ...workload.selector } },
      // Listeners with a port stay unchanged; the listener without a port must come last.
      egress: [...ofPorts, { hosts: [...hosts] }],
      ...Object.fromEntries(copied.map((field) => [field, shadowed?.spec[field]])),
    },
  };
}

/**
 * The entries that a Sidecar of Lazyscope imports, apart from listeners that it repeats from a
 * default.
 */
export function importedHosts(sidecar: Pick<SidecarRecord, 'spec'>): string[] {
  return egressOf(sidecar).find(isCatchAll)?.hosts ?? [];
}
