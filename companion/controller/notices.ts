import { modes } from '../core/workload-scope.ts';
import type { News, Sink } from './sink.ts';
import { modeLabel, type NamespaceRecord, type State } from './state.ts';

/** What there is to say about a namespace as a whole, which may have no workload to say it of. */
export function noticeOf(name: string, found: NamespaceRecord): News | undefined {
  const { label, mode, ambient } = found;
  if (label === undefined || mode === 'off') return undefined;
  if (mode === undefined) {
    const message = `Label ${modeLabel}: "${label}" is none of ${modes.join(', ')}; taken for off.`;
    return { reason: 'UnknownMode', message, isWarning: true };
  }
  if (!ambient) return undefined;
  const message = `Namespace ${name} is in the ambient mesh, which has no sidecars to scope.`;
  return { reason: 'Ambient', message, isWarning: true };
}

/** Tells of each namespace once, and again when there is something else to say. */
export function createNotices({ state, writer }: { state: State; writer: Sink }) {
  const told = new Map<string, string>();
  return {
    async look(): Promise<void> {
      if (!writer.mayWrite()) return;
      for (const name of told.keys()) if (!state.namespaces.has(name)) told.delete(name);
      for (const [name, found] of state.namespaces) {
        const notice = noticeOf(name, found);
        const reason = notice?.reason ?? '';
        if (reason === (told.get(name) ?? '')) continue;
        told.set(name, reason);
        // An Event has to be in the namespace of what it is about.
        const metadata = { name, namespace: name };
        if (notice) await writer.tell({ apiVersion: 'v1', kind: 'Namespace', metadata }, notice);
      }
    },
  };
}
