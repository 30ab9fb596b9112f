import type { KubeObject } from '../companion/kube/object.ts';
import {
  fixedClusters,
  loopback,
  outboundCluster,
  type Ports,
  type SecretFiles,
  sniOf,
} from './clusters.ts';
import { httpListener, passthroughListener, virtualOutbound } from './listeners.ts';
import type { Placed } from './objects.ts';
import { routeConfiguration } from './routes.ts';
import type { Json, ShippedPatches } from './shipped-patches.ts';

/** The whole configuration of one Envoy; the code that distributes it decides the order. */
export type Configuration = {
  clusters: Json[];
  listeners: Json[];
  /** The routes by port. */
  routes: Map<number, Json>;
};

export type SidecarInput = {
  namespace: string;
  services: readonly Placed[];
  /** The Sidecar that selects the workload; undefined: all of the mesh. */
  sidecar: KubeObject | undefined;
  /** The ServiceEntry that keeps a listener on every HTTP port. */
  sentinel: KubeObject | undefined;
  ports: Ports;
  secrets: SecretFiles;
  patches: ShippedPatches;
  /** The port of `virtualOutbound`; 0: any free port. */
  outboundPort: number;
  routesFile(port: number): string;
};

/** Does istiod's work: turns the services that the Sidecar admits into Envoy's resources. */
export function sidecarConfiguration(input: SidecarInput): Configuration {
  const { services, sidecar, sentinel, ports, secrets, patches } = input;
  const imported = sidecar && new Set(importedHosts(sidecar));
  const inView = services.filter(
    ({ namespace, host }) => !imported || imported.has(`${namespace}/${host}`),
  );
  const keepers = sentinel ? keptPorts(sentinel, imported) : [];
  const httpPorts = new Set([
    ...inView.flatMap((service) => service.ports),
    ...keepers.map(portOf),
  ]);
  const byPort = [...httpPorts].sort((a, b) => a - b);
  return {
    // The sentinel gets no cluster, because the shipped EnvoyFilter removes it.
    clusters: [
      ...fixedClusters(patches, ports, secrets),
      ...inView.flatMap((service) =>
        service.ports.map((port) => outboundCluster(service, port, ports, secrets)),
      ),
    ].map(asCluster),
    listeners: [
      virtualOutbound(input.outboundPort, patches),
      ...byPort.map((port) => httpListener(port, input.routesFile(port), patches)),
    ],
    routes: new Map(
      byPort.map((port) => {
        const hosts = inView.filter((service) => service.ports.includes(port));
        const keeper = keepers.find((each) => each.port === port)?.host;
        return [port, routeConfiguration(port, hosts, keeper, input.namespace, patches)];
      }),
    ),
  };
}

type Keeper = { host: string; port: number };

function keptPorts({ metadata, spec }: KubeObject, imported: Set<string> | undefined): Keeper[] {
  const hosts = (spec.hosts as string[]).filter(
    (host) => !imported || imported.has(`${metadata.namespace}/${host}`),
  );
  const ports = spec.ports as { number: number }[];
  return hosts.flatMap((host) => ports.map(({ number: port }) => ({ host, port })));
}

const portOf = ({ port }: Keeper) => port;

function importedHosts({ spec }: KubeObject): string[] {
  return (spec.egress as { hosts: string[] }[]).flatMap(({ hosts }) => hosts);
}

/** The lazy egress gateway: it knows the whole mesh and passes only Istio mTLS. */
export function gatewayConfiguration(
  services: readonly Placed[],
  { backends }: Pick<Ports, 'backends'>,
  port: number,
): Configuration {
  const targets = services.flatMap(({ host, ports, backend }) =>
    ports.map((each) => ({ name: sniOf(host, each), backend })),
  );
  return {
    clusters: targets.map(({ name, backend }) =>
      asCluster({
        name,
        type: 'STATIC',
        connect_timeout: '10s',
        load_assignment: {
          cluster_name: name,
          endpoints: [
            { lb_endpoints: [{ endpoint: { address: loopback(backends[backend] ?? 0) } }] },
          ],
        },
      }),
    ),
    listeners: [
      passthroughListener(
        port,
        targets.map(({ name }) => name),
      ),
    ],
    routes: new Map(),
  };
}

function asCluster(cluster: Json): Json {
  return { '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster', ...cluster };
}
