import { type Context, portOf } from './destination.ts';

/** Objects that are a destination, or that configure one. */

const networking = (kind: string, namespace: string, name: string, spec: object) => ({
  apiVersion: 'networking.istio.io/v1',
  kind,
  metadata: { name, namespace },
  spec,
});

export const serviceEntry = (namespace: string, name: string, spec: object): object =>
  networking('ServiceEntry', namespace, name, spec);

export const virtualService = (namespace: string, name: string, spec: object): object =>
  networking('VirtualService', namespace, name, spec);

export const destinationRule = (namespace: string, name: string, spec: object): object =>
  networking('DestinationRule', namespace, name, spec);

export function externalName(
  namespace: string,
  name: string,
  to: string,
  { name: portName, port }: { name: string; port: number },
): object {
  const spec = { type: 'ExternalName', externalName: to, ports: [{ name: portName, port }] };
  return { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec };
}

/**
 * A slice with the address of a pod, as a user would write it by hand, without a reference to the
 * pod.
 */
export function slice({ namespace, test, addresses }: Context, hostname?: string): object {
  const { name, on } = test;
  const port = portOf(test);
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: port.name, port: port.target }],
    endpoints: [
      {
        addresses: [addresses.podIp(namespace, on)],
        conditions: { ready: true },
        ...(hostname && { hostname }),
      },
    ],
  };
}
