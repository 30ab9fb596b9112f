import { parse } from 'yaml';
import type { AnswerConfig } from '../../companion/controller/nodes/mesh-view.ts';
import type { LookOptions } from '../../companion/controller/reconcile/inputs.ts';
import { createState, type State } from '../../companion/controller/state/state.ts';
import { startInformers } from '../../companion/controller/watch/informers.ts';
import { qualifyHost } from '../../companion/core/mesh/records.ts';
import { sentinelHost } from '../../companion/core/scope/sentinel.ts';
import { type ControllerConfig, controllerSettings } from '../../companion/frame/config.ts';
import { readSettings } from '../../companion/frame/settings.ts';
import type { KubeObject, Resource } from '../../companion/kube/object.ts';

/**
 * The mesh as a controller would see it after its first lists: the same kinds, read by the same
 * code. What controllers hear from node companions is not there.
 */
export type Mesh = {
  state: State;
  config: ControllerConfig;
  look: Omit<LookOptions, 'life'>;
  answers: AnswerConfig;
  /** Modes of `outboundTrafficPolicy` in the mesh configurations that were read. */
  meshPolicies: readonly string[];
  /** How many subsets each DestinationRule has, by `namespace/name`. */
  subsets: ReadonlyMap<string, number>;
  /** Hosts to which rules of gateways lead, with the namespace of the rule. */
  gatewayHosts: readonly { namespace: string; host: string }[];
};

/** Lists a kind; undefined for a kind that the API server does not have (`mayLack`). */
export type List = (resource: Resource) => Promise<KubeObject[] | undefined>;

const systemDefault = 'lazyscope-system';

const nothing = () => undefined;

/**
 * Throws what `list` throws. An object that cannot be read is passed to `unreadable` and left out,
 * as in the controller.
 */
export async function readMesh(
  { list, controller }: { list: List; controller: KubeObject | undefined },
  { now, unreadable }: { now: () => number; unreadable(what: string, error: Error): void },
): Promise<Mesh> {
  const config = configOf(controller);
  const state = createState(config);
  const changed = {
    ...{ workload: nothing, namespace: nothing, namespaceNow: nothing, all: nothing },
    ...{ pods: nothing, pass: nothing, ports: nothing },
  };
  const meshPolicies: string[] = [];
  const subsets = new Map<string, number>();
  const gatewayHosts: { namespace: string; host: string }[] = [];
  const informers = startInformers(
    {
      watch: (resource, { upsert, synced }) => ({
        stop: nothing,
        synced: list(resource).then((objects) => {
          for (const object of objects ?? []) {
            try {
              upsert(object);
              const { kind, metadata, spec } = object;
              if (kind === 'ConfigMap') meshPolicies.push(policyIn(object));
              gatewayHosts.push(...gatewayHostsOf(object, config.clusterDomain));
              if (kind === 'DestinationRule')
                subsets.set(`${metadata.namespace}/${metadata.name}`, spec?.subsets?.length ?? 0);
            } catch (error) {
              const { namespace, name } = object.metadata;
              unreadable(
                `${object.kind} ${namespace ? `${namespace}/` : ''}${name}`,
                error as Error,
              );
            }
          }
          synced?.(objects === undefined);
        }),
      }),
    },
    state,
    changed,
    { rootNamespace: config.rootNamespace, now, leads: () => false, filters: true },
  );
  await informers.synced;
  const { namespace, gatewayHost, rootNamespace } = config;
  return {
    state,
    config,
    look: {
      ...{ state, rootNamespace, now },
      sentinel: { namespace, host: sentinelHost },
      gateway: { namespace: gatewayHost.split('.')[1] ?? namespace, host: gatewayHost },
    },
    answers: config,
    meshPolicies,
    subsets,
    gatewayHosts,
  };
}

/** Of VirtualServices for gateways, and of routes of the Gateway API whose parent is a Gateway. */
function gatewayHostsOf({ kind, metadata, spec }: KubeObject, clusterDomain: string) {
  const { namespace = '' } = metadata;
  const named = (hosts: (string | undefined)[], where = namespace) =>
    hosts.flatMap((host) =>
      host ? [{ namespace, host: qualifyHost(host, where, clusterDomain) }] : [],
    );
  type Rule = { route?: { destination?: { host?: string } }[]; backendRefs?: Backend[] };
  type Backend = { name?: string; namespace?: string };
  if (kind === 'VirtualService') {
    if ((spec?.gateways ?? ['mesh']).every((gateway: string) => gateway === 'mesh')) return [];
    const rules = [spec?.http, spec?.tcp, spec?.tls].flatMap((list) => (list ?? []) as Rule[]);
    return named(rules.flatMap(({ route = [] }) => route.map((to) => to.destination?.host)));
  }
  if (!/^(HTTP|GRPC|TLS|TCP)Route$/.test(kind)) return [];
  const parents = (spec?.parentRefs ?? []) as { kind?: string }[];
  if (!parents.some((parent) => (parent.kind ?? 'Gateway') === 'Gateway')) return [];
  const rules = (spec?.rules ?? []) as Rule[];
  return rules.flatMap(({ backendRefs = [] }) =>
    backendRefs.flatMap((to) => named([to.name], to.namespace ?? namespace)),
  );
}

/** ALLOW_ANY is the default of Istio. */
function policyIn({ data }: KubeObject): string {
  type Policy = { outboundTrafficPolicy?: { mode?: string } } | null;
  const mesh = parse(data?.mesh ?? '') as Policy;
  return mesh?.outboundTrafficPolicy?.mode ?? 'ALLOW_ANY';
}

/** The Deployment whose settings count. */
export const controllerDeployment = {
  resource: { group: 'apps', version: 'v1', plural: 'deployments' },
  name: 'lazyscope-controller',
  namespace: systemDefault,
} as const;

/**
 * The settings of the controller as its Deployment gives them; without one, and for values that
 * only a pod has, the defaults. Throws if the controller would refuse them, too.
 */
function configOf(deployment: KubeObject | undefined): ControllerConfig {
  type Container = { args?: string[]; env?: { name: string; value?: string }[] };
  const [container] = (deployment?.spec?.template?.spec?.containers ?? []) as Container[];
  const variables = Object.fromEntries(
    (container?.env ?? []).flatMap(({ name, value }) =>
      value === undefined ? [] : [[name, value]],
    ),
  );
  const env = {
    LAZYSCOPE_NAMESPACE: deployment?.metadata.namespace ?? systemDefault,
    LAZYSCOPE_POD_NAME: controllerDeployment.name,
    ...variables,
  };
  return readSettings(controllerSettings, env, (container?.args ?? []).slice(1));
}

/** Kinds without which a mesh can be read: the optional ones, and the product's own. */
export function mayLack({ optional, group }: Resource): boolean {
  return optional === true || group === 'lazyscope.io';
}
