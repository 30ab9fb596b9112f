/**
 * Addresses of the box. They exist only inside its network namespaces, so they cannot clash with
 * those of the host.
 */
export const fabric = { bridge: 'fabric', address: '10.254.0.1', prefixLength: 24 };

export const apiServer = { address: fabric.address, port: 6443 };
export const etcdPort = 2379;

/** Room for 65,534 ClusterIPs: 5,000 synthetic services and then some. */
export const serviceCidr = '10.96.0.0/16';
export const clusterDnsAddress = '10.96.0.10';
export const clusterDomain = 'cluster.local';

/** All pods of all nodes; each node owns a /24 of it. */
export const podCidr = '10.244.0.0/16';

/**
 * A server outside the mesh, on the fabric. Pods reach it by this name and by any name below the
 * domain.
 */
export const outside = {
  address: '10.254.0.200',
  host: 'outside.example.com',
  domain: 'example.org',
};

export type NodePlan = { name: string; address: string; podCidr: string };

/** At most 9 nodes: more than a test needs, and the addresses below stay readable. */
export const nodesMax = 9;

export function planNode(index: number): NodePlan {
  return {
    name: `node-${index}`,
    address: `10.254.0.${10 + index}`,
    podCidr: `10.244.${index}.0/24`,
  };
}
