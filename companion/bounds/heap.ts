/**
 * A binary heap ordered by time: the earliest entry comes first. Adding and taking cost O(log n).
 */
export type Heap<Value> = {
  add(at: number, value: Value): void;
  /** The time of the earliest entry; Infinity if the heap is empty. */
  nextAt(): number;
  take(): Value | undefined;
  size(): number;
};

export function createHeap<Value>(): Heap<Value> {
  type Item = { at: number; value: Value };
  const items: Item[] = [];
  const atOf = (index: number) => items[index]?.at ?? Number.POSITIVE_INFINITY;

  function swap(a: number, b: number): void {
    const [first, second] = [items[a], items[b]];
    if (!first || !second) return;
    items[a] = second;
    items[b] = first;
  }

  function rise(from: number): void {
    for (let index = from; index > 0; ) {
      const parent = (index - 1) >> 1;
      if (atOf(parent) <= atOf(index)) return;
      swap(index, parent);
      index = parent;
    }
  }

  function sink(): void {
    for (let index = 0; ; ) {
      const left = 2 * index + 1;
      const child = atOf(left + 1) < atOf(left) ? left + 1 : left;
      if (atOf(child) >= atOf(index)) return;
      swap(index, child);
      index = child;
    }
  }

  return {
    add(at, value) {
      items.push({ at, value });
      rise(items.length - 1);
    },
    nextAt: () => atOf(0),
    take() {
      swap(0, items.length - 1);
      const first = items.pop();
      sink();
      return first?.value;
    },
    size: () => items.length,
  };
}
