import type { KubeObject } from '../../companion/kube/object.ts';
import { proxyIn } from '../core/proxy-container.ts';
import {
  capableLabel,
  configAnnotation,
  providerIn,
  wantsOffload,
  withProvider,
} from '../core/tls-offload.ts';
import type { Check, Evidence, Examined } from './check.ts';

/** TLS offload that was asked for and is not there, and nodes that refuse the bypass. */

/** Sidecars that are to have TLS offload, by the label of the pod or of its namespace. */
function wanting({ of }: Examined): KubeObject[] {
  // Without a capable node offload is off by itself.
  if (!of('Node').some(({ metadata: { labels } }) => labels?.[capableLabel] === 'true')) return [];
  const namespaces = new Map(
    of('Namespace').map(({ metadata }) => [metadata.name, metadata.labels]),
  );
  return of('Pod').filter(
    ({ metadata: { namespace = '', labels, ownerReferences }, spec }) =>
      !ownerReferences?.some(({ kind }) => kind === 'DaemonSet') &&
      proxyIn(spec?.containers, spec?.initContainers) !== undefined &&
      wantsOffload(labels, namespaces.get(namespace)),
  );
}

const leftOut: Check = {
  ...{ id: 'tls-offload-left-out', severity: 'warning' },
  title: 'a pod is to have TLS offload, and has no privateKeyProvider',
  find: (examined) =>
    wanting(examined).flatMap(({ metadata: { namespace, name, annotations } }): Evidence[] => {
      const config = annotations?.[configAnnotation] ?? '';
      if (providerIn(config)) return [];
      const subject = `Pod ${namespace}/${name}`;
      if (withProvider(config) === undefined) {
        return [
          {
            subject,
            sentence: `its ${configAnnotation} is not a YAML mapping in block style, so no key can be appended to it`,
            remedy: 'privateKeyProvider: {cryptomb: {pollDelay: 2ms, fallback: true}}',
          },
        ];
      }
      const sentence =
        'lazyscope.io/tls-offload is auto, and the pod was created without the policy of manifests/components/tls-offload';
      const remedy = `apply the component (Kubernetes >= 1.36), or the patch of lazyscope advise tls, and restart the workload in ${namespace}`;
      return [{ subject, sentence, remedy }];
    }),
};

const bypassRefused: Check = {
  ...{ id: 'bypass-refused', severity: 'warning' },
  title: 'a node is to have the bypass, and its agent refuses it',
  find: ({ of }) =>
    of('Node').flatMap(({ metadata: { name, labels, annotations } }): Evidence[] => {
      const state = annotations?.['lazyscope.io/bypass-state'] ?? '';
      if (labels?.['lazyscope.io/bypass'] !== 'enabled' || !/^(refused|off)\b/.test(state))
        return [];
      return [
        {
          subject: `Node ${name}`,
          sentence: `its pods use the TCP stack: ${state}`,
          evidence: 'lazyscope nodes',
          remedy: `mend the reason, or: kubectl label node ${name} lazyscope.io/bypass-`,
        },
      ];
    }),
};

export const hardwareChecks: readonly Check[] = [leftOut, bypassRefused];
