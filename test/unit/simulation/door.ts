import {
  type Kube,
  KubeError,
  type KubeObject,
  type Resource,
  type WatchHandler,
} from '../../../companion/kube/object.ts';
import type { FakeKube } from '../companion/controller/fake-kube.ts';
import type { Random } from './random.ts';

/** The faults of one replica's connection to the API server. */
export type Weather = { failing: number; losing: number; lagMs: number };
export const fair: Weather = { failing: 0, losing: 0, lagMs: 20 };

export type Door = {
  kube: Kube;
  weather: Weather;
  /** Stops all traffic in both directions, as kill -9 does. */
  close(): void;
  /** The watches lose the events in flight, and learn the missed changes from a new list. */
  breakWatches(): void;
};

export type DoorOptions = {
  store: FakeKube;
  random: Random;
  /** Called when the store executes a write, before it does. */
  onWrite(verb: 'apply' | 'status' | 'delete' | 'other', object: KubeObject): void;
};

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const never = new Promise<never>(() => undefined);

/** The connection of one replica to the store: slow, lossy and late. */
export function createDoor({ store, random, onWrite }: DoorOptions): Door {
  const follows = new Set<{ gap(): void }>();
  let isClosed = false;
  const lag = () => pause(random.next() * door.weather.lagMs);

  async function request<Result>(run: () => Promise<Result>, timeoutMs = 10_000): Promise<Result> {
    const exchange = async () => {
      await lag();
      if (isClosed) return never;
      if (random.chance(door.weather.failing)) {
        throw new KubeError(random.pick([0, 409, 422, 429, 500, 403]), 'fault of the simulation');
      }
      const result = await run();
      await lag();
      if (isClosed) return never;
      if (random.chance(door.weather.losing)) throw new KubeError(0, 'answer lost');
      return result;
    };
    const late = pause(timeoutMs).then(() => {
      throw new KubeError(0, 'no answer in time');
    });
    late.catch(() => undefined);
    return Promise.race([exchange(), late]);
  }

  function watch(resource: Resource, handler: WatchHandler) {
    const known = new Map<string, KubeObject>();
    let queue: { verb: 'upsert' | 'remove'; object: KubeObject }[] = [];
    let isStopped = false;
    let isReading = false;
    const keyOf = ({ metadata }: KubeObject) => `${metadata.namespace}/${metadata.name}`;

    function deliver(verb: 'upsert' | 'remove', object: KubeObject): void {
      const before = known.get(keyOf(object));
      if (verb === 'remove') {
        if (known.delete(keyOf(object))) handler.remove(object);
        return;
      }
      if (before && before.metadata.uid !== object.metadata.uid) handler.remove(before);
      known.set(keyOf(object), object);
      handler.upsert(object);
    }

    async function read(): Promise<void> {
      if (isReading) return;
      isReading = true;
      while (queue.length > 0 && !isStopped && !isClosed) {
        await lag();
        for (const { verb, object } of queue.splice(0, 1 + random.below(5))) deliver(verb, object);
      }
      isReading = false;
    }

    const enqueue = (verb: 'upsert' | 'remove') => (object: KubeObject) => {
      queue.push({ verb, object });
      void read();
    };
    const source = store.watch(resource, { upsert: enqueue('upsert'), remove: enqueue('remove') });
    // The existing objects are the list, which is delivered at once.
    for (const { object } of queue.splice(0)) deliver('upsert', object);
    handler.synced?.(false);
    const follow = {
      gap() {
        const listed: KubeObject[] = [];
        store
          .watch(resource, { upsert: (object) => listed.push(object), remove: () => undefined })
          .stop();
        const seen = new Set(listed.map(keyOf));
        const gone = [...known.values()].filter((object) => !seen.has(keyOf(object)));
        queue = [
          ...listed.map((object) => ({ verb: 'upsert' as const, object })),
          ...gone.map((object) => ({ verb: 'remove' as const, object })),
        ];
        void read();
      },
    };
    follows.add(follow);
    const stop = () => {
      isStopped = true;
      follows.delete(follow);
      source.stop();
    };
    return { synced: Promise.resolve(), stop };
  }

  const kube: Kube = {
    watch,
    apply: (object, options) =>
      request(() => {
        onWrite(options.subresource ?? 'apply', object);
        return store.apply(object, options);
      }, options.timeoutMs),
    create: (object, options = {}) =>
      request(() => {
        onWrite('other', object);
        return store.create(object);
      }, options.timeoutMs),
    replace: (object) =>
      request(() => {
        onWrite('other', object);
        return store.replace(object);
      }),
    get: (resource, name, namespace) => request(() => store.get(resource, name, namespace)),
    delete: (resource, name, namespace, options = {}) =>
      request(async () => {
        const found = await store.get(resource, name, namespace);
        const uid = options.preconditions?.uid;
        if (!found || (uid && found.metadata.uid !== uid)) return;
        onWrite('delete', found);
        await store.delete(resource, name, namespace);
      }, options.timeoutMs),
    serves: async () => false,
    listMetadata: async () => [],
    tokenReview: async () => ({ authenticated: false }),
    mayList: async () => false,
    close: () => undefined,
  };
  const door: Door = {
    kube,
    weather: fair,
    close() {
      isClosed = true;
    },
    breakWatches() {
      for (const { gap } of follows) gap();
    },
  };
  return door;
}
