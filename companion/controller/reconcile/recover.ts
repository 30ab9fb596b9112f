import { importedHosts, sidecarName } from '../../core/scope/sidecar.ts';
import type { State } from '../state/state.ts';

/**
 * Learns the imports of an existing Sidecar that its scope does not record, because the previous
 * leader may have ended between the two writes. Without this the next pass would remove the host
 * again.
 */
export function recoverUnrecorded(
  { scopes, sidecars, edges }: State,
  known: ReadonlySet<string>,
  now: number,
): void {
  for (const scope of scopes.values()) {
    const sidecar = sidecars.get(scope.namespace, sidecarName(scope));
    if (!sidecar?.ours) continue;
    const recorded = new Set(scope.status?.hosts.map(({ host }) => host));
    for (const entry of importedHosts(sidecar)) {
      const [namespace = '', host = ''] = entry.split('/');
      if (recorded.has(entry) || known.has(entry) || scope.pins.includes(entry)) continue;
      for (const owner of scope.owners) {
        edges.see({ namespace: scope.namespace, owner }, { namespace, host }, now);
      }
    }
  }
}
