import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createHeap } from '../../../../companion/bounds/heap.ts';

test('a heap returns the earliest entry first, for any order of insertion', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 50 })), (times) => {
      const heap = createHeap<number>();
      for (const at of times) heap.add(at, at);
      expect(heap.size()).toBe(times.length);
      const taken = times.map(() => {
        expect(heap.nextAt()).toBeLessThan(Number.POSITIVE_INFINITY);
        return heap.take();
      });
      expect(taken).toEqual([...times].sort((a, b) => a - b));
      expect([heap.take(), heap.nextAt()]).toEqual([undefined, Number.POSITIVE_INFINITY]);
    }),
  );
});
