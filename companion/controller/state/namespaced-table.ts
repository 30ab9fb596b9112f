/** Objects by namespace and name. */
export type NamespacedTable<Value> = {
  set(value: Value): void;
  get(namespace: string, name: string): Value | undefined;
  delete(namespace: string, name: string): void;
  in(namespace: string): Iterable<Value>;
  count(namespace: string): number;
  values(): Iterable<Value>;
};

export function createNamespacedTable<Value extends { namespace: string; name: string }>(
  onSet: (before: Value | undefined, after: Value) => void = () => {},
): NamespacedTable<Value> {
  const table = new Map<string, Map<string, Value>>();
  return {
    set(value) {
      const names = table.get(value.namespace) ?? new Map<string, Value>();
      onSet(names.get(value.name), value);
      table.set(value.namespace, names.set(value.name, value));
    },
    get: (namespace, name) => table.get(namespace)?.get(name),
    delete(namespace, name) {
      const names = table.get(namespace);
      names?.delete(name);
      if (names?.size === 0) table.delete(namespace);
    },
    in: (namespace) => table.get(namespace)?.values() ?? [],
    count: (namespace) => table.get(namespace)?.size ?? 0,
    *values() {
      for (const names of table.values()) yield* names.values();
    },
  };
}
