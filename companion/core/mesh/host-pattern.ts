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

/** Values by host pattern. Lookup costs one step for each label of the host, however many there are. */
export type HostIndex<Value> = {
  add(pattern: string, value: Value): void;
  remove(pattern: string, value: Value): void;
  exact(pattern: string): readonly Value[];
  /** Those of the most specific pattern that has values passing the filter; exact beats wildcard. */
  mostSpecific(host: string, accept: (value: Value) => boolean): readonly Value[];
  /** Those of every pattern that matches. */
  all(host: string): Value[];
  patterns(): Iterable<string>;
};

export function createHostIndex<Value>(): HostIndex<Value> {
  const byPattern = new Map<string, Value[]>();
  const none: readonly Value[] = [];

  function* matching(host: string): Generator<readonly Value[]> {
    yield byPattern.get(host) ?? none;
    // Wildcards of Istio start at a label: `*.example.com`, or are a lone `*`.
    for (let dot = host.indexOf('.'); dot >= 0; dot = host.indexOf('.', dot + 1)) {
      yield byPattern.get(`*${host.slice(dot)}`) ?? none;
    }
    yield byPattern.get('*') ?? none;
  }

  return {
    add(pattern, value) {
      const values = byPattern.get(pattern);
      if (values) values.push(value);
      else byPattern.set(pattern, [value]);
    },
    remove(pattern, value) {
      const values = (byPattern.get(pattern) ?? none).filter((other) => other !== value);
      if (values.length > 0) byPattern.set(pattern, values);
      else byPattern.delete(pattern);
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
    patterns: () => byPattern.keys(),
  };
}
