import type { CallOptions, Reply } from '../embedded/app-call.ts';
import type { Sidecar } from '../embedded/mesh.ts';

/** Every request of the demo: the steady ones of both apps, and those that a step makes. */
export type Traffic = {
  call(sidecar: Sidecar, url: string, options?: CallOptions): Promise<Reply>;
  sent(): number;
  failed(): number;
  /** The first request that was not answered with 200. */
  firstFailure(): string | undefined;
  /** Starts the steady calls, also after a stop. */
  start(): void;
  /** Resolves when the last call is answered. */
  stop(): Promise<void>;
};

/** Interval at which both apps call each of their destinations. */
const intervalMs = 50;

export function createTraffic(sidecars: readonly Sidecar[], urls: readonly string[]): Traffic {
  let sent = 0;
  let failed = 0;
  let firstFailure: string | undefined;
  const open = new Set<Promise<Reply>>();
  let timer: NodeJS.Timeout | undefined;

  async function call(sidecar: Sidecar, url: string, options?: CallOptions): Promise<Reply> {
    sent += 1;
    const reply = await sidecar.app.call(url, options);
    if (reply.status !== 200) {
      failed += 1;
      firstFailure ??= `${sidecar.proxy.name} to ${url}: ${reply.status} ${reply.text.trim()}`;
    }
    return reply;
  }

  function callAll(): void {
    for (const sidecar of sidecars) {
      for (const url of urls) {
        const reply = call(sidecar, url, { keepAlive: true });
        open.add(reply);
        void reply.finally(() => open.delete(reply));
      }
    }
  }

  return {
    call,
    sent: () => sent,
    failed: () => failed,
    firstFailure: () => firstFailure,
    start() {
      timer ??= setInterval(callAll, intervalMs);
    },
    async stop() {
      clearInterval(timer);
      timer = undefined;
      await Promise.allSettled(open);
    },
  };
}
