import type { Catalog } from '../mesh/catalog.ts';
import { selects } from '../mesh/label-selector.ts';
import type { PodRecord } from '../mesh/pod-record.ts';
import { isTakenIn } from '../mesh/revision.ts';
import type { PeerAuthenticationRecord } from '../mesh/rules.ts';

/** The key of a PeerAuthentication. */
export type Peer = Pick<PodRecord, 'namespace' | 'labels' | 'revision'>;

/**
 * Mode of the PeerAuthentication in force on a port of a workload: the port of the oldest one that
 * selects the workload, then its default, then the namespace's, then the mesh's. Selectors in the
 * root namespace select nothing (pilot/pkg/security/authn/policy_applier.go,
 * ComposePeerAuthentication).
 */
export function peerMode(
  catalog: Catalog,
  peer: Peer,
  targetPort: number,
  rootNamespace: string,
): string {
  const takenIn = (namespace: string) =>
    oldestFirst(catalog.peerAuthenticationsIn(namespace)).filter(({ revision }) =>
      isTakenIn(revision, peer.revision),
    );
  const inNamespace = peer.namespace === rootNamespace ? [] : takenIn(peer.namespace);
  const ofPeer = inNamespace.find(({ selector }) => selector && selects(selector, peer.labels));
  const ofNamespace = inNamespace.find(({ selector }) => !selector);
  const ofMesh = takenIn(rootNamespace).find(({ selector }) => !selector);
  const modes = [ofPeer?.portModes[targetPort], ofPeer?.mode, ofNamespace?.mode, ofMesh?.mode];
  return modes.find((mode) => mode !== undefined && mode !== 'UNSET') ?? 'PERMISSIVE';
}

function oldestFirst(records: Iterable<PeerAuthenticationRecord>): PeerAuthenticationRecord[] {
  return [...records].sort((a, b) => compare(a.created, b.created) || compare(a.name, b.name));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
