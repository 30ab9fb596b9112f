import { counted } from '../../companion/core/mesh/counted.ts';
import { isOwnReason } from '../../companion/core/scope/hosts.ts';
import {
  importedHosts,
  type SidecarRecord,
  shadowedSidecar,
  sidecarName,
} from '../../companion/core/scope/sidecar.ts';
import type { ScopeRecord } from '../../companion/core/scope/workload-scope.ts';
import { type Exported, plainSidecar } from './plain-sidecar.ts';

/** Learned scopes as Sidecars that work without Lazyscope. */

export type ExportInput = {
  scope: ScopeRecord;
  sidecars: readonly SidecarRecord[];
  /** Revisions of istiod that configure the workload's proxies. */
  revisions: readonly string[];
  rootNamespace: string;
};

/**
 * The Sidecar of a workload as YAML. The same scope gives the same bytes: times of use, which
 * change from hour to hour, are left out. Undefined if nothing was learned: such a Sidecar would
 * cut the workload off.
 */
export function exportOf(input: ExportInput): Exported | undefined {
  const { scope, sidecars, revisions, rootNamespace } = input;
  const { namespace, name, selector, status } = scope;
  const hosts = (status?.hosts ?? []).filter(({ reason }) => !isOwnReason(reason));
  if (hosts.length === 0 || Object.keys(selector).length === 0) return undefined;
  const since = status?.learningSince ?? 'an unknown time';
  return plainSidecar({
    ...{ namespace, name, selector },
    hosts: hosts.map(({ host: entry, reason, firstSeen, message }) => {
      const from = firstSeen ? ` since ${firstSeen.slice(0, 10)}` : '';
      return { entry, comment: `${reason}${from}${message ? `: ${message}` : ''}` };
    }),
    shadowed: shadowedSidecar(
      sidecars,
      { namespace, pods: revisions.map((revision) => ({ revision })) },
      rootNamespace,
    ),
    comment: [
      `Workload ${namespace}/${name}: ${counted(hosts.length, 'host')}, learned since ${since}.`,
    ],
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
    here.find((each) => each.name === sidecarName({ name }) && each.ours);
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
