import { conditionIn } from '../scope/condition.ts';
import type { ScopeRecord } from '../scope/workload-scope.ts';
import type { Told } from './changes.ts';

/** What changed in a scope between two records of it; nothing for the first that is read. */
export function scopeChanges(
  before: ScopeRecord | undefined,
  after: ScopeRecord,
  at: number,
): Told[] {
  if (!before || !after.status || before.uid !== after.uid) return [];
  const { namespace, name: workload } = after;
  const told = { at, namespace, workload, host: '', detail: '' };
  const changes: Told[] = [];
  const [known, now] = [hostsOf(before), hostsOf(after)];
  // The first hosts of a new scope come with the scope.
  const fresh = before.status ? now : [];
  for (const [host, detail] of fresh) {
    if (!known.has(host)) changes.push({ ...told, kind: 'host-added', host, detail });
  }
  for (const [host, detail] of known) {
    if (!now.has(host)) changes.push({ ...told, kind: 'host-removed', host, detail });
  }
  const mode = after.status.mode;
  if (before.status && before.status.mode !== mode)
    changes.push({ ...told, kind: 'mode', detail: mode });
  const [was, is] = [before, after].map(({ status }) => conditionIn(status, 'Scoped'));
  if (is && was?.status !== is.status) {
    const kind = is.status === 'True' ? 'scoped' : 'unscoped';
    changes.push({ ...told, kind, detail: is.reason });
  }
  return changes;
}

function hostsOf({ status }: ScopeRecord): Map<string, string> {
  return new Map((status?.hosts ?? []).map(({ host, reason }) => [host, reason]));
}
