import type { Logger } from 'pino';
import type { Loader, Stats } from './loader.ts';
import type { BypassMetrics } from './metrics.ts';
import { findPodCgroup, type Layout } from './pod-cgroup.ts';
import { type Candidate, excludedPorts } from './policy.ts';

type Options = {
  config: { excludePorts: readonly number[]; unreadKilobytes: number };
  metrics: BypassMetrics;
  log: Logger;
};

/**
 * Makes the loader serve the pods that opted in, and reads its figures; returns the number of pods
 * served and the figures.
 */
export type Serve = (
  loader: Loader,
  layout: Layout,
  candidates: Candidate[],
) => Promise<{ pods: number; stats: Stats }>;

export function createServe({ config, metrics, log }: Options): Serve {
  let last: { loader: Loader; policy: string; pods: number } | undefined;

  return async (loader, layout, candidates) => {
    const asked = await cgroupsOf(layout, candidates);
    const ports = excludedPorts(config.excludePorts, candidates);
    if (!ports) log.error('more ports are excluded than can be: the bypass serves no pod');
    const cgroups = ports ? asked : [];
    const byteLimit = config.unreadKilobytes * 1024;
    const policy = { cgroups, ports: ports ?? [], byteLimit };
    const text = JSON.stringify(policy);
    if (last?.loader !== loader || last.policy !== text) {
      const answer = await loader.policy(policy);
      for (const refused of answer.refused) log.warn({ ...refused }, 'pod not attached');
      // A pod that was refused because it is starting or ending is tried again.
      const settled = answer.refused.length === 0 ? text : '';
      last = { loader, policy: settled, pods: answer.cgroups };
    }
    metrics.setPods(last.pods, candidates.length - last.pods);
    const stats = await loader.stats();
    metrics.setStats(stats);
    return { pods: last.pods, stats };
  };
}

async function cgroupsOf(layout: Layout, candidates: Candidate[]): Promise<string[]> {
  const wanted = candidates.filter(({ refused }) => refused === undefined);
  const paths = await Promise.all(
    wanted.map(({ uid, qosClass }) => findPodCgroup(layout, uid, qosClass)),
  );
  return paths.filter((path) => path !== undefined).sort();
}
