import { Document, isMap, type Scalar, type YAMLSeq } from 'yaml';
import {
  importedHosts,
  type SidecarRecord,
  shadowedSidecar,
  sidecarOf,
} from '../../companion/core/scope/sidecar.ts';
import type { ScopeRecord, ScopeStatus } from '../../companion/core/scope/workload-scope.ts';
import { plainText } from './table.ts';

/** Learned scopes as Sidecars that work without Lazyscope. */

export type ExportInput = {
  scope: ScopeRecord;
  sidecars: readonly SidecarRecord[];
  /** Revisions of istiod that configure the workload's proxies. */
  revisions: readonly string[];
  rootNamespace: string;
};

export type Exported = { namespace: string; name: string; hosts: string[]; yaml: string };

type Host = ScopeStatus['hosts'][number];

/** Hosts of Lazyscope itself, which mean nothing without it. */
const own = new Set(['sentinel', 'gateway']);

/**
 * The Sidecar of a workload as YAML. The same scope gives the same bytes: times of use, which
 * change from hour to hour, are left out. Undefined if nothing was learned: such a Sidecar would
 * cut the workload off.
 */
export function exportOf(input: ExportInput): Exported | undefined {
  const { scope, sidecars, revisions, rootNamespace } = input;
  const { namespace, name, selector, status } = scope;
  const hosts = (status?.hosts ?? []).filter(({ reason }) => !own.has(reason));
  if (hosts.length === 0 || Object.keys(selector).length === 0) return undefined;
  const pods = revisions.map((revision) => ({ revision }));
  const shadowed = shadowedSidecar(
    sidecars,
    // Only the revision of a pod says which defaults apply.
    { namespace, pods: pods as Parameters<typeof shadowedSidecar>[1]['pods'] },
    rootNamespace,
  );
  const { apiVersion, kind, spec } = sidecarOf({
    workload: { namespace, name, owners: [name], selector, pods: [] },
    owner: { name, uid: '' },
    hosts: hosts.map(({ host }) => host),
    shadowed,
  });
  const document = new Document({ apiVersion, kind, metadata: { name, namespace }, spec });
  document.commentBefore = commentOf(scope, hosts, shadowed);
  commentHosts(document, hosts);
  return {
    ...{ namespace, name },
    hosts: hosts.map(({ host }) => host),
    yaml: document.toString({ lineWidth: 0 }),
  };
}

function commentOf(
  { namespace, name, status }: ScopeRecord,
  hosts: readonly Host[],
  shadowed: SidecarRecord | undefined,
): string {
  const lines = [
    `Workload ${namespace}/${name}: ${hosts.length} hosts, learned since ${status?.learningSince ?? 'an unknown time'}.`,
    'Unlike a scope of Lazyscope, this Sidecar does not grow: a call to a host that is not listed',
    'goes where outboundTrafficPolicy sends unknown calls.',
  ];
  if (shadowed) {
    lines.push(
      `It replaces the default Sidecar ${shadowed.namespace}/${shadowed.name} and repeats what that one sets.`,
    );
  }
  return lines.map((line) => ` ${line}`).join('\n');
}

/** Each host with its reason, at the end of its line. */
function commentHosts(document: Document, hosts: readonly Host[]): void {
  const listeners = document.getIn(['spec', 'egress']) as YAMLSeq;
  const last = listeners.items.at(-1);
  const items = (isMap(last) ? (last.get('hosts') as YAMLSeq<Scalar>) : undefined)?.items ?? [];
  items.forEach((item, index) => {
    const { reason, firstSeen, message } = hosts[index] ?? {};
    const since = firstSeen ? ` since ${firstSeen.slice(0, 10)}` : '';
    item.comment = ` ${plainText(`${reason}${since}${message ? `: ${message}` : ''}`)}`;
  });
}

export type Difference = {
  namespace: string;
  workload: string;
  /** The Sidecar of the cluster that is compared; undefined: none. */
  against: string | undefined;
  added: string[];
  removed: string[];
};

/**
 * How an export differs from the Sidecar of the same name in the cluster, else from the scope that
 * Lazyscope has in force.
 */
export function differenceOf(
  { namespace, name, hosts }: Exported,
  sidecars: readonly SidecarRecord[],
): Difference {
  const here = sidecars.filter((each) => each.namespace === namespace);
  const against =
    here.find((each) => each.name === name && !each.ours) ??
    here.find((each) => each.name === `lazyscope-${name}` && each.ours);
  const known = new Set(against ? importedHosts(against) : []);
  const wanted = new Set(hosts);
  return {
    ...{ namespace, workload: name, against: against?.name },
    added: hosts.filter((host) => !known.has(host)),
    removed: [...known].filter((host) => !wanted.has(host)).sort(),
  };
}

export function differenceText({
  namespace,
  workload,
  against,
  added,
  removed,
}: Difference): string {
  const title = against
    ? `Sidecar ${namespace}/${against}`
    : `${namespace}/${workload}: no Sidecar in the cluster`;
  const lines = [
    `--- ${title}`,
    `+++ export of ${namespace}/${workload}`,
    ...removed.map((host) => `- ${host}`),
    ...added.map((host) => `+ ${host}`),
  ];
  return `${lines.join('\n')}\n`;
}
