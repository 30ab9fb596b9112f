import { h } from './dom.ts';

/**
 * The workload or namespace in Kiali, if its address is known; the page itself asks nothing of it.
 * Kiali knows workloads by the same names.
 */
export function kialiLink(
  address: string | undefined,
  namespace: string,
  workload?: string,
): HTMLElement | false {
  if (!address) return false;
  const name = encodeURIComponent(namespace);
  const path =
    workload === undefined
      ? `graph/namespaces?namespaces=${name}&graphType=workload`
      : `namespaces/${name}/workloads/${encodeURIComponent(workload)}`;
  const href = `${address.replace(/\/+$/, '')}/console/${path}`;
  return h('a', { href, target: '_blank', rel: 'noopener noreferrer' }, 'Kiali ↗');
}
