import type { CallOptions, Reply } from '../embedded/app-call.ts';
import type { Sidecar } from '../embedded/mesh.ts';

/** Every request of the demo: the steady ones of both apps, and those that a step makes. */
export type Traffic = {
  call(sidecar: Sidecar, url: string, options?: CallOptions): Promise<Reply>;
  sent(): number;
  failed(): number;
  /** The first request that was not answered with 200. */
  firstFailure(): string | undefined;
  stop(): Promise<void>;
};

/** Both apps call each of their destinations this often. */
const intervalMs = 50;

export function startTraffic(sidecars: readonly Sidecar[], urls: readonly string[]): Traffic {
  let sent = 0;
  let failed = 0;
  let firstFailure: string | undefined;
  const open = new Set<Promise<Reply>>();

  async function call(sidecar: Sidecar, url: string, options?: CallOptions): Promise<Reply> {
    sent += 1;
    const reply = await sidecar.app.call(url, options);
    if (reply.status !== 200) {
      failed += 1;
      firstFailure ??= `${sidecar.proxy.name} to ${url}: ${reply.status} ${reply.text.trim()}`;
    }
    return reply;
  }

  const timer = setInterval(() => {
    for (const sidecar of sidecars) {
      for (const url of urls) {
        const reply = call(sidecar, url, { keepAlive: true });
        open.add(reply);
        void reply.finally(() => open.delete(reply));
      }
    }
  }, intervalMs);

  return {
    call,
    sent: () => sent,
    failed: () => failed,
    firstFailure: () => firstFailure,
    async stop() {
      clearInterval(timer);
      await Promise.allSettled(open);
    },
  };
}
