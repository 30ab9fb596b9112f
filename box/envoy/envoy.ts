import { listenerPorts, startEnvoyProcess } from '../../embedded/envoy-process.ts';
import { startReaper } from '../../embedded/reaper.ts';
import type { Bootstrap } from './bootstrap.ts';

/** A running Envoy, with the ports that the kernel assigned, by listener name. */
export type Envoy = {
  pid: number;
  port(listener: string): number;
  admin(path: string): Promise<string>;
  /** Values of the counters and gauges whose name matches, by name. */
  stats(filter: string): Promise<Map<string, number>>;
  log(): string;
  stop(): Promise<void>;
};

/**
 * Starts Envoy on free ports and waits until it is ready. If that fails, throws with its last log
 * lines.
 */
export async function startEnvoy(bootstrap: Bootstrap, concurrency = 1): Promise<Envoy> {
  const reaper = await startReaper();
  try {
    const { folder } = reaper;
    const process = await startEnvoyProcess({
      name: 'under test',
      bootstrap,
      folder,
      concurrency,
      reaper,
    });
    const { pid, admin } = process;
    const ports = await listenerPorts(process);
    return {
      pid,
      port(listener) {
        const port = ports.get(listener);
        if (port === undefined) throw new Error(`no listener ${listener}`);
        return port;
      },
      admin,
      stats: async (filter) =>
        parseStats(await admin(`/stats?filter=${encodeURIComponent(filter)}`)),
      log: () => process.log().join('\n'),
      async stop() {
        await process.stop();
        await reaper.finish();
      },
    };
  } catch (error) {
    await reaper.finish();
    throw error;
  }
}

function parseStats(text: string): Map<string, number> {
  const stats = new Map<string, number>();
  for (const line of text.split('\n')) {
    const match = /^(.*): (\d+)$/.exec(line);
    if (match?.[1] !== undefined) stats.set(match[1], Number(match[2]));
  }
  return stats;
}
