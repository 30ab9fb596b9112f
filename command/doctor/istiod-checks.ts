import type { KubeObject } from '../../companion/kube/object.ts';
import type { Check, Evidence, Severity } from './check.ts';

/** Settings of istiod that cost more than they give; names and defaults of pilot/pkg/features. */

type Container = { name: string; env?: { name: string; value?: string }[] };

function environmentOf({ spec }: KubeObject): Map<string, string> {
  const containers = (spec?.template?.spec?.containers ?? []) as Container[];
  const env = containers.find(({ name }) => name === 'discovery')?.env ?? [];
  return new Map(env.map(({ name, value = '' }) => [name, value]));
}

type Variable = {
  id: string;
  severity: Severity;
  title: string;
  names: readonly string[];
  /** Whether the value is the one that the check is about. */
  isMeant(value: string): boolean;
  why: string;
};

const isFalse = (value: string) => ['false', '0', 'f'].includes(value.toLowerCase());
const isTrue = (value: string) => ['true', '1', 't'].includes(value.toLowerCase());

const variables: readonly Variable[] = [
  {
    ...{ id: 'istiod-lazy-evaluation', severity: 'warning' },
    title: 'istiod computes the scope of every Sidecar at each push',
    names: ['ENABLE_LAZY_SIDECAR_EVALUATION'],
    isMeant: isFalse,
    why: 'every scope is computed at each push, whether a proxy uses it or not',
  },
  {
    ...{ id: 'istiod-scope-concurrency', severity: 'warning' },
    title: 'a concurrency for Sidecar scopes switches lazy evaluation off',
    names: ['PILOT_CONVERT_SIDECAR_SCOPE_CONCURRENCY'],
    isMeant: (value) => Number(value) > 1,
    why: 'a concurrency above 1 switches lazy evaluation of Sidecars off',
  },
  {
    ...{ id: 'istiod-cache', severity: 'warning' },
    title: 'a cache of istiod is switched off',
    names: ['PILOT_ENABLE_XDS_CACHE', 'PILOT_ENABLE_CDS_CACHE', 'PILOT_ENABLE_RDS_CACHE'],
    isMeant: isFalse,
    why: 'proxies with the same scope each have their configuration computed anew',
  },
  {
    ...{ id: 'istiod-delta', severity: 'warning' },
    title: 'istiod sends the whole configuration at each change',
    names: ['ISTIO_DELTA_XDS'],
    isMeant: isFalse,
    why: 'proxies get all of their configuration at each change instead of what changed',
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
    ],
    isMeant: () => true,
    why: 'Istio 1.30 and later do not read it',
  },
];

export const istiodChecks: readonly Check[] = variables.map(({ names, isMeant, why, ...rest }) => ({
  ...rest,
  find: ({ istiods }) => istiods.flatMap((istiod) => evidenceIn(istiod, { names, isMeant, why })),
}));

function evidenceIn(
  istiod: KubeObject,
  { names, isMeant, why }: Pick<Variable, 'names' | 'isMeant' | 'why'>,
): Evidence[] {
  const { namespace, name } = istiod.metadata;
  const env = environmentOf(istiod);
  return names.flatMap((variable) => {
    const value = env.get(variable);
    if (value === undefined || !isMeant(value)) return [];
    return {
      subject: `Deployment ${namespace}/${name}`,
      sentence: `${variable} is ${value}: ${why}`,
      remedy: `remove it from the values of istiod; until then: kubectl set env -n ${namespace} deployment/${name} ${variable}-`,
    };
  });
}
