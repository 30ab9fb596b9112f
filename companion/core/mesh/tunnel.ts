/**
 * Whether istiod lets sidecars call a server by HBONE because of its labels: a waypoint, or a pod
 * or machine that declares it (pilot/pkg/xds/endpoints/endpoint_builder.go, supportTunnel). istiod
 * itself labels machines whose proxy listens for HBONE.
 */
export function declaresTunnel(labels: Readonly<Record<string, string>>): boolean {
  const protocols = labels['networking.istio.io/tunnel']?.split(',') ?? [];
  return protocols.includes('http') || labels['gateway.istio.io/managed'] === waypointController;
}

const waypointController = 'istio.io-mesh-controller';
