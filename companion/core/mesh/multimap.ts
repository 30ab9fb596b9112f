/** Sets of values by key; a key without values takes no room. */
export type Multimap<Value> = {
  add(key: string, value: Value): void;
  remove(key: string, value: Value): void;
  get(key: string): readonly Value[];
  size(): number;
};

export function createMultimap<Value>(): Multimap<Value> {
  const map = new Map<string, Set<Value>>();
  return {
    add(key, value) {
      const values = map.get(key);
      if (values) values.add(value);
      else map.set(key, new Set([value]));
    },
    remove(key, value) {
      const values = map.get(key);
      values?.delete(value);
      if (values?.size === 0) map.delete(key);
    },
    get: (key) => [...(map.get(key) ?? [])],
    size: () => map.size,
  };
}
