/** Limits how many entries are in at the same time: in total, and for each key. */
export type QuotaBounds = { all: number; perKey: number };

export type Quota = {
  /** False if there is no room; otherwise the caller must call `leave` exactly once. */
  enter(key: string): boolean;
  leave(key: string): void;
};

export function createQuota({ all, perKey }: QuotaBounds): Quota {
  const inside = new Map<string, number>();
  let total = 0;
  return {
    enter(key) {
      const count = inside.get(key) ?? 0;
      if (total >= all || count >= perKey) return false;
      inside.set(key, count + 1);
      total += 1;
      return true;
    },
    leave(key) {
      const count = inside.get(key) ?? 0;
      if (count === 0) return;
      total -= 1;
      if (count > 1) inside.set(key, count - 1);
      else inside.delete(key);
    },
  };
}
