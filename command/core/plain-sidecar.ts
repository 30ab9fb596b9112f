import { Document, isMap, type Scalar, type YAMLSeq } from 'yaml';
import { type SidecarRecord, sidecarOf } from '../../companion/core/scope/sidecar.ts';
import { plainText } from './table.ts';

/** A Sidecar that works without Lazyscope, as commented YAML. */
export type Exported = { namespace: string; name: string; hosts: string[]; yaml: string };

export type PlainSidecar = {
  namespace: string;
  name: string;
  selector: Readonly<Record<string, string>>;
  /** Sorted entries of `egress.hosts`, each with the text behind it. */
  hosts: readonly { entry: string; comment: string }[];
  /** The default Sidecar that this one replaces, and whose settings it repeats. */
  shadowed: SidecarRecord | undefined;
  /** The first lines of the comment above it. */
  comment: readonly string[];
};

/** The same input gives the same bytes. */
export function plainSidecar(input: PlainSidecar): Exported {
  const { namespace, name, selector, hosts, shadowed } = input;
  const entries = hosts.map(({ entry }) => entry);
  const { apiVersion, kind, spec } = sidecarOf({
    workload: { namespace, name, owners: [name], selector: { ...selector }, pods: [] },
    owner: { name, uid: '' },
    hosts: entries,
    shadowed,
  });
  const document = new Document({ apiVersion, kind, metadata: { name, namespace }, spec });
  const lines = [
    ...input.comment,
    'Unlike a scope of Lazyscope, this Sidecar does not grow: a call to a host that is not listed',
    'goes where outboundTrafficPolicy sends unknown calls.',
    ...(shadowed
      ? [
          `It replaces the default Sidecar ${shadowed.namespace}/${shadowed.name} and repeats what that one sets.`,
        ]
      : []),
  ];
  document.commentBefore = lines.map((line) => ` ${plainText(line)}`).join('\n');
  const listeners = document.getIn(['spec', 'egress']) as YAMLSeq;
  const last = listeners.items.at(-1);
  const items = (isMap(last) ? (last.get('hosts') as YAMLSeq<Scalar>) : undefined)?.items ?? [];
  items.forEach((item, index) => {
    item.comment = ` ${plainText(hosts[index]?.comment ?? '')}`;
  });
  return { namespace, name, hosts: entries, yaml: document.toString({ lineWidth: 0 }) };
}
