import type { KubeObject } from '../../companion/kube/object.ts';
import { durationIn, environmentOf, isFalse, isTrue } from '../mesh/istiod.ts';
import type { Check, Evidence, Severity } from './check.ts';

/** Settings of istiod that cost more than they give; names and defaults of pilot/pkg/features. */

type Variable = {
  id: string;
  severity: Severity;
  title: string;
  names: readonly string[];
  /** Whether the value is the one that the check is about. */
  isMeant(value: string): boolean;
  why: string;
  /** The variable switches an optimization of istiod off. */
  isOptimization?: true;
};

const variables: readonly Variable[] = [
  {
    ...{ id: 'istiod-lazy-evaluation', severity: 'warning' },
    title: 'istiod computes the scope of every Sidecar at each push',
    names: ['ENABLE_LAZY_SIDECAR_EVALUATION'],
    isMeant: isFalse,
    why: 'every scope is computed at each push, whether a proxy uses it or not',
    isOptimization: true,
  },
  {
    ...{ id: 'istiod-scope-concurrency', severity: 'warning' },
    title: 'a concurrency for Sidecar scopes switches lazy evaluation off',
    names: ['PILOT_CONVERT_SIDECAR_SCOPE_CONCURRENCY'],
    isMeant: (value) => Number(value) > 1,
    why: 'a concurrency above 1 switches lazy evaluation of Sidecars off',
    isOptimization: true,
  },
  {
    ...{ id: 'istiod-cache', severity: 'warning' },
    title: 'a cache of istiod is switched off',
    names: ['PILOT_ENABLE_XDS_CACHE', 'PILOT_ENABLE_CDS_CACHE', 'PILOT_ENABLE_RDS_CACHE'],
    isMeant: isFalse,
    why: 'proxies with the same scope each have their configuration computed anew',
    isOptimization: true,
  },
  {
    ...{ id: 'istiod-delta', severity: 'warning' },
    title: 'istiod sends the whole configuration at each change',
    names: ['ISTIO_DELTA_XDS'],
    isMeant: isFalse,
    why: 'proxies get all of their configuration at each change instead of what changed',
    isOptimization: true,
  },
  {
    ...{ id: 'istiod-debounce', severity: 'warning' },
    title: 'istiod waits long before it sends a change',
    names: ['PILOT_DEBOUNCE_AFTER'],
    // A quarter of the two seconds for which a first request may be held.
    isMeant: (value) => (durationIn(value) ?? 0) > 500,
    why: 'every change of a scope, and so every held request, waits as long; the default is 100ms',
  },
  {
    ...{ id: 'istiod-eds-debounce', severity: 'info' },
    title: 'changes of endpoints are pushed one by one',
    names: ['PILOT_ENABLE_EDS_DEBOUNCE'],
    isMeant: isFalse,
    why: 'a rollout of a hundred pods is a hundred pushes to every proxy that knows the Service',
    isOptimization: true,
  },
  {
    ...{ id: 'istiod-route-collapse', severity: 'info' },
    title: 'istiod does not merge equal virtual hosts',
    names: ['PILOT_ENABLE_ROUTE_COLLAPSE_OPTIMIZATION'],
    isMeant: isFalse,
    why: 'virtual hosts with the same routes are sent and kept one by one',
    isOptimization: true,
  },
  {
    ...{ id: 'istiod-cache-size', severity: 'info' },
    title: 'the cache of istiod has less room than by default',
    names: ['PILOT_XDS_CACHE_SIZE'],
    isMeant: (value) => Number(value) < 60_000,
    why: 'entries that are pushed out are computed anew for the next proxy; the default is 60000',
  },
  {
    ...{ id: 'istiod-push-throttle', severity: 'warning' },
    title: 'istiod may push to fewer proxies at a time than one CPU would allow',
    names: ['PILOT_PUSH_THROTTLE'],
    isMeant: (value) => Number(value) > 0 && Number(value) < 20,
    why: 'without it istiod pushes to 15 proxies and 5 for each CPU at a time',
  },
  {
    ...{ id: 'istiod-request-rate', severity: 'warning' },
    title: 'istiod accepts fewer connections a second than one CPU would allow',
    names: ['PILOT_MAX_REQUESTS_PER_SECOND'],
    isMeant: (value) => Number(value) > 0 && Number(value) < 20,
    why: 'after a restart of istiod all proxies connect again; without it 15 a second and 5 for each CPU may',
  },
  {
    ...{ id: 'istiod-debug-auth', severity: 'warning' },
    title: 'every namespace may read the configuration of all proxies from istiod',
    names: ['ENABLE_DEBUG_ENDPOINT_AUTH'],
    isMeant: isFalse,
    why: 'workloads of any namespace can read the configuration of proxies of other namespaces',
  },
  {
    ...{ id: 'istiod-unsafe', severity: 'critical' },
    title: 'a setting of istiod is on that is unsafe in production',
    names: ['UNSAFE_ENABLE_ADMIN_ENDPOINTS', 'UNSAFE_PILOT_ENABLE_RUNTIME_ASSERTIONS'],
    isMeant: isTrue,
    why: 'it is for tests only: it opens dangerous endpoints, or lets istiod panic',
  },
  {
    ...{ id: 'istiod-open', severity: 'critical' },
    title: 'istiod gives configuration to clients that it does not know',
    names: ['XDS_AUTH', 'PILOT_ENABLE_XDS_IDENTITY_CHECK', 'ENABLE_XDS_API_GENERATOR_AUTH'],
    isMeant: isFalse,
    why: 'a client can get the configuration of another workload, or of the whole mesh',
  },
  {
    ...{ id: 'istiod-trust-domain', severity: 'warning' },
    title: 'servers accept identities of any trust domain',
    names: ['PILOT_SKIP_VALIDATE_TRUST_DOMAIN'],
    isMeant: isTrue,
    why: 'mutual TLS accepts certificates of other trust domains with the same root',
  },
  {
    ...{ id: 'istiod-analysis', severity: 'info' },
    title: 'istiod runs the analyzers itself',
    names: ['PILOT_ENABLE_ANALYSIS'],
    isMeant: isTrue,
    why: 'the analyzers take CPU of istiod every ten seconds; istioctl analyze does the same outside',
  },
  {
    ...{ id: 'istiod-removed-setting', severity: 'info' },
    title: 'a variable of istiod is set that does nothing any more',
    names: [
      'PILOT_ENABLE_HEADLESS_SERVICE_POD_LISTENERS',
      'PILOT_PARTIAL_FULL_PUSHES',
      'ISTIO_ENABLE_OPTIMIZED_SERVICE_PUSH',
      'ENABLE_OPTIMIZED_CONFIG_REBUILD',
      'PILOT_ENABLE_CONFIG_DISTRIBUTION_TRACKING',
      'ENABLE_AUTO_MTLS_CHECK_POLICIES',
      'PILOT_ENABLE_LEGACY_AUTO_PASSTHROUGH',
      'PILOT_ENABLE_LEGACY_ISTIO_MUTUAL_CREDENTIAL_NAME',
      'PILOT_ENABLE_INBOUND_PASSTHROUGH',
      'PILOT_LEGACY_INGRESS_BEHAVIOR',
      'PILOT_ENABLE_DESTINATION_RULE_INHERITANCE',
      'PILOT_ENABLE_ISTIO_TAGS',
      'ENABLE_LEGACY_LB_ALGORITHM_DEFAULT',
      'PILOT_INBOUND_PROTOCOL_DETECTION_TIMEOUT',
      'ENABLE_AUTO_SNI',
      'ENABLE_EXTERNAL_NAME_ALIAS',
    ],
    isMeant: () => true,
    why: 'Istio 1.30 and later do not read it',
  },
];

export const istiodSettings: readonly Check[] = variables.map(
  ({ id, severity, title, ...meant }) => ({
    ...{ id, severity, title },
    find: ({ istiods }) => istiods.flatMap((istiod) => evidenceIn(istiod, meant)),
  }),
);

/** A variable that istiod has, with the value that a check is about. */
export type SetVariable = { name: string; value: string; why: string };

/** Variables that switch an optimization of this istiod off. */
export function switchedOff(istiod: KubeObject): SetVariable[] {
  return variables.filter((each) => each.isOptimization).flatMap((each) => setIn(istiod, each));
}

type Meant = Pick<Variable, 'names' | 'isMeant' | 'why'>;

function setIn(istiod: KubeObject, { names, isMeant, why }: Meant): SetVariable[] {
  const env = environmentOf(istiod);
  return names.flatMap((name) => {
    const value = env.get(name);
    return value === undefined || !isMeant(value) ? [] : [{ name, value, why }];
  });
}

function evidenceIn(istiod: KubeObject, meant: Meant): Evidence[] {
  const { namespace, name } = istiod.metadata;
  return setIn(istiod, meant).map(({ name: variable, value, why }) => ({
    subject: `Deployment ${namespace}/${name}`,
    sentence: `${variable} is ${value}: ${why}`,
    remedy: `remove it from the values of istiod; until then: kubectl set env -n ${namespace} deployment/${name} ${variable}-`,
  }));
}
