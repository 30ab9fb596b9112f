import type { KubeObject } from '../../../../companion/kube/object.ts';

/** The objects that install the filter in a namespace. */
export function filterParts(namespace: string, sha256: string): KubeObject[] {
  const plugin = (name: string): KubeObject => ({
    ...{ apiVersion: 'extensions.istio.io/v1alpha1', kind: 'WasmPlugin' },
    metadata: { namespace, name },
    spec: { sha256, failStrategy: 'FAIL_OPEN' },
  });
  const filter: KubeObject = {
    ...{ apiVersion: 'networking.istio.io/v1alpha3', kind: 'EnvoyFilter' },
    metadata: { namespace, name: 'lazyscope' },
    spec: { configPatches: [] },
  };
  return [plugin('lazyscope'), plugin('lazyscope-tcp'), filter];
}
