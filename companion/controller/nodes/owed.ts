import type { ProxyGone, ProxyReport } from '../../contract/rpc.ts';

/**
 * The pods of one stream whose messages were above the rate. A report has only what changed, so a
 * lost one is missed for good; therefore the node is asked for the whole pod later. A farewell is
 * kept as it is.
 */
export type Owed = {
  /** False if there is no room, so the message is lost. */
  note(message: { report?: ProxyReport | undefined; gone?: ProxyGone | undefined }): boolean;
  /** Takes the oldest; undefined if there is none. */
  take(): OwedPod | undefined;
  size(): number;
};

export type OwedPod = { namespace: string; pod: string; gone?: ProxyGone };

export function createOwed(podsMax: number): Owed {
  const pods = new Map<string, OwedPod>();
  return {
    note({ report, gone }) {
      const about = report ?? gone;
      if (!about) return false;
      const { namespace, pod } = about;
      // By uid too: the next pod of a name may report before the farewell of the previous one.
      const key = `${namespace}/${pod}/${about.podUid}`;
      if (!pods.has(key) && pods.size >= podsMax) return false;
      pods.set(key, { namespace, pod, ...(gone && { gone }) });
      return true;
    },
    take() {
      const [oldest] = pods;
      if (!oldest) return undefined;
      pods.delete(oldest[0]);
      return oldest[1];
    },
    size: () => pods.size,
  };
}
