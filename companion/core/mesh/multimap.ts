/** Sets of values by key; a key without values takes no room. Values are no Sets themselves. */
export type Multimap<Value> = {
  add(key: string, value: Value): void;
  remove(key: string, value: Value): void;
  get(key: string): readonly Value[];
  size(): number;
};

export function createMultimap<Value>(): Multimap<Value> {
  // Most keys have one value, and a Set of one takes 180 bytes: 12 MB at 10,000 services.
  const map = new Map<string, Value | Set<Value>>();
  return {
    add(key, value) {
      const known = map.get(key);
      if (known instanceof Set) known.add(value);
      else if (known === undefined) map.set(key, value);
      else if (known !== value) map.set(key, new Set([known, value]));
    },
    remove(key, value) {
      const known = map.get(key);
      if (known instanceof Set) known.delete(value);
      if (known === value || (known instanceof Set && known.size === 0)) map.delete(key);
    },
    get(key) {
      const known = map.get(key);
      if (known instanceof Set) return [...known];
      return known === undefined ? [] : [known];
    },
    size: () => map.size,
  };
}
