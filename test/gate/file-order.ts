/** The files of a project that share one mesh, in the order in which they run. */
export type FileOrder = {
  /** Files that change only their own namespaces. These files must pass in any order. */
  namespaced: readonly string[];
  /** Files that change the whole mesh or replace parts of the product. These files come last. */
  meshWide: readonly string[];
};

/**
 * The order is written down, because Vitest starts with the slowest file of the previous run, so
 * that a second run would have another order. Files that remove something that others need (the
 * product, a node, a CRD) restore it, and nevertheless come last.
 */
export const fileOrders: Readonly<Record<string, FileOrder>> = {
  mesh: {
    namespaced: ['calls', 'kubernetes', 'cli', 'command'],
    meshWide: ['tls-offload', 'memory'],
  },
  'mesh-lifecycle': { namespaced: [], meshWide: ['lifecycle'] },
  product: {
    namespaced: [
      ...['tcp', 'outside', 'gateway', 'policies'],
      ...['hostile', 'held-in-vain', 'node-local', 'entries', 'access-log', 'bypass'],
    ],
    // From `narrowing` on, the mesh has 1,000 services.
    meshWide: ['page', 'clusters', 'narrowing', 'first-call', 'switching', 'outages', 'readme'],
  },
  safety: {
    namespaced: ['life', 'enabling', 'coexistence'],
    meshWide: ['beside', 'withdrawal', 'lost-node', 'leaving', 'removal'],
  },
  matrix: {
    namespaced: [
      ...['matrix', 'conformance', 'shop', 'defaults'],
      ...['streams', 'dns', 'ports', 'limits', 'variants'],
    ],
    meshWide: ['by-itself', 'locality', 'policy'],
  },
  install: { namespaced: [], meshWide: ['try'] },
  faults: { namespaced: [], meshWide: ['killed', 'alone', 'reboot', 'upgrade'] },
};

/** Returns a function that returns numbers from 0 up to but not including 1 (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shuffled<T>(items: readonly T[], seed: number): T[] {
  const random = randomOf(seed);
  return items
    .map((item) => ({ item, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}

/**
 * The names of a project's files in the order in which they run, or undefined for a project without
 * a written order. A seed shuffles the namespaced files.
 */
export function orderOf(project: string, seed: number | undefined): string[] | undefined {
  const order = fileOrders[project];
  if (order === undefined) return undefined;
  const { namespaced, meshWide } = order;
  return [...(seed === undefined ? namespaced : shuffled(namespaced, seed)), ...meshWide];
}
