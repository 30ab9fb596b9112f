import type { Mesh, PodRef } from './mesh.ts';

/**
 * True if a sidecar has a cluster whose whole name matches an expression of RE2, as Istio sets it
 * (`dynamic`). For polls: with the configuration of 1,000 services, `/clusters` is 9 MB of text,
 * and Envoy and the reader need a fifth of a second for it.
 */
export async function hasCluster(mesh: Mesh, pod: PodRef, expression: string): Promise<boolean> {
  const query = `resource=dynamic_active_clusters&name_regex=${encodeURIComponent(expression)}`;
  const { configs = [] } = JSON.parse(await mesh.admin(pod, `/config_dump?${query}`)) as {
    configs?: object[];
  };
  return configs.length > 0;
}

/** The expression that matches exactly this text. */
export const literally = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
