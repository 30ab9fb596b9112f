import type { KubeObject } from '../../kube/object.ts';
import { revisionLabelOf } from './revision.ts';
import { declaresTunnel } from './tunnel.ts';

/** A server that is not a pod: a WorkloadEntry, or an endpoint that a ServiceEntry lists. */
export type WorkloadRecord = {
  namespace: string;
  name: string;
  /** An IP address, a DNS name, or `unix:` and a path. */
  address: string;
  labels: Readonly<Record<string, string>>;
  /** Ports that it listens on, by name. */
  ports: Readonly<Record<string, number>>;
  /** Empty: its identity is unknown. */
  serviceAccount: string;
  /** Its proxy terminates mutual TLS. */
  acceptsMtls: boolean;
  /** Istio's proxies reach it by HBONE alone. */
  isCaptured: boolean;
  /** Its proxy is or was connected to istiod, or is declared to exist. */
  hasProxy: boolean;
  network: string;
  revision: string | undefined;
};

/** Machines of a WorkloadGroup have proxies, with or without a WorkloadEntry for each. */
export type WorkloadGroupRecord = {
  namespace: string;
  name: string;
  labels: Readonly<Record<string, string>>;
};

/** The common fields of a WorkloadEntry and an endpoint of a ServiceEntry. */
export type WorkloadSpec = {
  address?: string;
  labels?: Record<string, string>;
  ports?: Record<string, number>;
  serviceAccount?: string;
  network?: string;
};

const tlsModeLabel = 'security.istio.io/tlsMode';

export function workloadOf(
  { address = '', ports = {}, serviceAccount = '', network = '' }: WorkloadSpec,
  { namespace, labels }: Pick<WorkloadRecord, 'namespace' | 'labels'>,
): WorkloadRecord {
  // pilot/pkg/serviceregistry/serviceentry/conversion.go, getTLSModeFromWorkloadEntry.
  const tlsMode = labels[tlsModeLabel] ?? (serviceAccount === '' ? '' : 'istio');
  const acceptsMtls = tlsMode === 'istio';
  const isCaptured = !acceptsMtls && declaresTunnel(labels);
  const rest = { ports, serviceAccount, acceptsMtls, isCaptured, hasProxy: acceptsMtls, network };
  return { namespace, name: '', address, labels, ...rest, revision: undefined };
}

/** istiod's annotation on a WorkloadEntry whose proxy is or was connected. */
const proxyAnnotations = ['istio.io/autoRegistrationGroup', 'istio.io/workloadController'];

export function readWorkloadEntry(object: KubeObject): WorkloadRecord {
  const { metadata, spec = {} } = object;
  const namespace = metadata.namespace ?? '';
  const labels = { ...spec.labels, ...metadata.labels };
  const record = workloadOf(spec, { namespace, labels });
  const isConnected = proxyAnnotations.some((name) => name in (metadata.annotations ?? {}));
  return {
    ...record,
    name: metadata.name,
    hasProxy: record.hasProxy || isConnected,
    revision: revisionLabelOf(object),
  };
}

export function readWorkloadGroup({ metadata, spec = {} }: KubeObject): WorkloadGroupRecord {
  const labels = { ...spec.metadata?.labels, ...spec.template?.labels };
  return { namespace: metadata.namespace ?? '', name: metadata.name, labels };
}
