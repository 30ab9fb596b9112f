import type { Known } from '../../companion/controller/console/known.ts';
import type { ProxySummary } from '../../embedded/proxy-figures.ts';
import { playedNamespaces } from './cast.ts';
import { type Play, startPlay } from './play.ts';

/** The figures of the two real sidecars, and how many hosts the scope of one of them has. */
export type Real = { full: ProxySummary; scoped: ProxySummary; hosts: number };

const turnMs = 1_000;

/**
 * Plays the shop beside the real sidecars, whose figures its workloads get, once one of these is
 * narrowed. `real` is undefined until then. The result turns what is real into what the page shows.
 */
export function playBeside(real: () => Promise<Real | undefined>): (known: Known) => Known {
  let play: Play | undefined;

  async function turn({ history, now }: Known): Promise<void> {
    // A sidecar that is being replaced has no figures for a moment.
    const found = play ? undefined : await real().catch(() => undefined);
    if (found) {
      const { full, scoped, hosts } = found;
      play = startPlay({
        // From the beginning of the history on, as if it had always been there.
        ...{ history, beginsAt: history.beginsAt() },
        full: { memoryBytes: full.allocatedBytes, clusters: full.clusters },
        scoped: { memoryBytes: scoped.allocatedBytes, clusters: scoped.clusters, hosts },
      });
    }
    play?.turn(now());
  }

  return (known) => {
    setInterval(() => void turn(known), turnMs).unref();
    return {
      ...known,
      scopes: {
        get: (namespace, name) =>
          known.scopes.get(namespace, name) ?? play?.scopes.get(namespace, name),
        *values() {
          yield* known.scopes.values();
          if (play) yield* play.scopes.values();
        },
      },
      get played() {
        return play && playedNamespaces;
      },
    };
  };
}
