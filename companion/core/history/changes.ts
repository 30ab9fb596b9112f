import { sharedText } from '../mesh/shared-text.ts';

/** What happened to scopes and first calls, newest last, each with a number that only grows. */

export type ChangeKind =
  | 'first-call'
  | 'host-added'
  | 'host-removed'
  | 'scoped'
  | 'unscoped'
  | 'mode';

export type Told = {
  /** Milliseconds since the epoch. */
  at: number;
  kind: ChangeKind;
  namespace: string;
  workload: string;
  /** `namespace/host`; empty where the change is about no host. */
  host: string;
  /** The strategy of a first call, the reason of a host or condition, the new mode. */
  detail: string;
};

export type Change = Told & { id: number };

export type Changes = {
  add(told: Told): Change;
  /** Takes over those of another replica, with their numbers; later ones get larger numbers. */
  restore(changes: readonly Change[]): void;
  /** Those with a number above `id`, oldest first. */
  since(id: number): Change[];
  /** The largest number that was given; 0 before the first. */
  newest(): number;
  /** Changes that went to make room. */
  dropped(): number;
};

/** About 250 bytes each: 2.5 MB. A mesh of 1,000 workloads has about that many in its first day. */
export const changesMax = 10_000;

/**
 * `firstId`: where numbering begins. Replicas begin at the time of their start in milliseconds, so
 * that a number is never given twice for what a reader of another replica has seen.
 */
export function createChanges(firstId: number, max = changesMax): Changes {
  let kept: Change[] = [];
  let last = firstId;
  let dropped = 0;

  function trim(): void {
    // In steps, so that not every change moves all the others.
    if (kept.length < max + Math.ceil(max / 10)) return;
    dropped += kept.length - max;
    kept = kept.slice(-max);
  }

  return {
    add(told) {
      last += 1;
      const { at, kind, namespace, workload, detail } = told;
      // Field by field, as the edges of the history.
      const change = {
        at,
        kind,
        namespace,
        workload,
        host: sharedText(told.host),
        detail,
        id: last,
      };
      kept.push(change);
      trim();
      return change;
    },
    restore(changes) {
      kept = [...changes, ...kept].sort((a, b) => a.id - b.id);
      last = Math.max(last, kept.at(-1)?.id ?? 0);
      trim();
    },
    since(id) {
      // Readers are mostly up to date, so the search begins at the end.
      let from = kept.length;
      while (from > 0 && (kept[from - 1]?.id ?? 0) > id) from -= 1;
      return kept.slice(from);
    },
    newest: () => last,
    dropped: () => dropped,
  };
}
