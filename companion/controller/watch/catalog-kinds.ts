import type { Resource } from '../../kube/object.ts';

const networking = { group: 'networking.istio.io', version: 'v1' };

/** The versions that istiod reads (pkg/config/schema/gvr/resources.gen.go). */
const gatewayApi = { group: 'gateway.networking.k8s.io', version: 'v1' };

export type Touches = 'ports' | 'scopes' | 'ports and scopes' | 'answers' | 'namespace';

/** Kinds that go to the catalog, and what a change of them may change. */
export const catalogKinds: { resource: Resource; touches: Touches }[] = [
  { resource: { group: '', version: 'v1', plural: 'services' }, touches: 'ports' },
  { resource: { ...networking, plural: 'serviceentries' }, touches: 'ports and scopes' },
  { resource: { ...networking, plural: 'virtualservices' }, touches: 'scopes' },
  { resource: { ...networking, plural: 'destinationrules' }, touches: 'scopes' },
  { resource: { ...networking, plural: 'workloadentries' }, touches: 'namespace' },
  { resource: { ...networking, plural: 'workloadgroups' }, touches: 'namespace' },
  {
    resource: { group: 'discovery.k8s.io', version: 'v1', plural: 'endpointslices' },
    touches: 'answers',
  },
  {
    resource: { group: 'security.istio.io', version: 'v1', plural: 'peerauthentications' },
    touches: 'answers',
  },
  {
    resource: { group: 'security.istio.io', version: 'v1', plural: 'requestauthentications' },
    touches: 'scopes',
  },
  {
    resource: {
      group: 'extensions.istio.io',
      version: 'v1alpha1',
      plural: 'trafficextensions',
      optional: true,
    },
    touches: 'scopes',
  },
  ...['httproutes', 'grpcroutes', 'tlsroutes', 'tcproutes', 'backendtlspolicies'].map((plural) => ({
    resource: { ...gatewayApi, plural, optional: true as const },
    touches: 'scopes' as const,
  })),
  {
    resource: {
      group: 'multicluster.x-k8s.io',
      version: 'v1alpha1',
      plural: 'serviceimports',
      optional: true,
    },
    touches: 'scopes',
  },
];
