/**
 * Host names as Istio compares them (pkg/config/host/name.go): exact, or with `*` in front. All
 * names are lower case.
 */

export function isWildcard(pattern: string): boolean {
  return pattern.startsWith('*');
}

/** Whether the exact host falls under the pattern. */
export function matchesHost(pattern: string, host: string): boolean {
  return isWildcard(pattern) ? host.endsWith(pattern.slice(1)) : pattern === host;
}

/**
 * Values by host pattern. A look-up costs one step for each wildcard length in use, for any number
 * of wildcards.
 */
export type HostIndex<Value> = {
  add(pattern: string, value: Value): void;
  remove(pattern: string, value: Value): void;
  exact(pattern: string): readonly Value[];
  /**
   * The values of the most specific pattern that has values passing the filter; exact beats
   * wildcard.
   */
  mostSpecific(host: string, accept: (value: Value) => boolean): readonly Value[];
  /** The values of every pattern that matches. */
  all(host: string): Value[];
  /** Every pattern under a wildcard, with its values. Costs one step for each existing pattern. */
  under(wildcard: string): Iterable<readonly [string, readonly Value[]]>;
  patterns(): Iterable<string>;
};

export function createHostIndex<Value>(): HostIndex<Value> {
  const byPattern = new Map<string, Value[]>();
  /** How many patterns have this many characters after the `*`. */
  const lengths = new Map<number, number>();
  const none: readonly Value[] = [];

  // A wildcard of Istio may begin inside a label: `*-internal.example.com`.
  function* matching(host: string): Generator<readonly Value[]> {
    yield byPattern.get(host) ?? none;
    for (const length of [...lengths.keys()].sort((a, b) => b - a)) {
      if (length > host.length) continue;
      const pattern = `*${host.slice(host.length - length)}`;
      if (pattern !== host) yield byPattern.get(pattern) ?? none;
    }
  }

  function countLength(pattern: string, by: 1 | -1): void {
    if (!isWildcard(pattern)) return;
    const length = pattern.length - 1;
    const count = (lengths.get(length) ?? 0) + by;
    if (count > 0) lengths.set(length, count);
    else lengths.delete(length);
  }

  return {
    add(pattern, value) {
      const values = byPattern.get(pattern);
      if (values) values.push(value);
      else {
        byPattern.set(pattern, [value]);
        countLength(pattern, 1);
      }
    },
    remove(pattern, value) {
      const values = (byPattern.get(pattern) ?? none).filter((other) => other !== value);
      if (values.length > 0) byPattern.set(pattern, values);
      else if (byPattern.delete(pattern)) countLength(pattern, -1);
    },
    exact: (pattern) => byPattern.get(pattern) ?? none,
    mostSpecific(host, accept) {
      for (const values of matching(host)) {
        const accepted = values.filter(accept);
        if (accepted.length > 0) return accepted;
      }
      return none;
    },
    all: (host) => [...matching(host)].flat(),
    *under(wildcard) {
      for (const entry of byPattern) {
        if (entry[0] !== wildcard && matchesHost(wildcard, entry[0])) yield entry;
      }
    },
    patterns: () => byPattern.keys(),
  };
}
