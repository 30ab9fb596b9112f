import { firstCalls } from '../../companion/core/first-call/strategy.ts';
import { counted } from '../../companion/core/mesh/counted.ts';
import { servicesOutside } from '../../companion/core/scope/blind.ts';
import { modes } from '../../companion/core/scope/condition.ts';
import { someOf } from '../core/finding.ts';
import type { Check, Evidence, Examined } from './check.ts';

/** Whether the filter is where it is needed, and sees the calls. */

type Pods = ReturnType<Examined['mesh']['state']['catalog']['podsIn']>[number][];

/** Namespaces in mode observe or enforce, with their running sidecars. */
function* enabled({ mesh: { state } }: Examined): Generator<[string, Pods]> {
  for (const [name, { mode }] of state.namespaces) {
    if (mode !== 'observe' && mode !== 'enforce') continue;
    yield [name, state.catalog.podsIn(name).filter((pod) => pod.hasSidecar && pod.running)];
  }
}

const missing: Check = {
  ...{ id: 'filter-missing', severity: 'critical' },
  title: 'a namespace is enabled, and the filter is not installed in it',
  find: (examined) =>
    [...enabled(examined)].flatMap(([name, pods]) => {
      const parts = examined.mesh.state.installedFilter.missing(name, []);
      if (pods.length === 0 || parts.length === 0) return [];
      return {
        subject: `Namespace ${name}`,
        sentence: `${parts.join(', ')} missing: its ${counted(pods.length, 'proxy')} report no calls`,
        remedy: `kubectl apply -k with a copy of manifests/example for the namespace${parts.some((part) => part.endsWith('-access-log')) ? ', with the component namespace-access-log' : ''}`,
      };
    }),
};

const leftOut: Check = {
  ...{ id: 'filter-left-out', severity: 'warning' },
  title: 'the selector of the filter leaves out pods of an enabled namespace',
  find: (examined) =>
    [...enabled(examined)].flatMap(([name, pods]) => {
      const left = examined.mesh.state.installedFilter.leftOut(name, pods);
      if (left.length === 0) return [];
      return {
        subject: `Namespace ${name}`,
        sentence: `the filter does not select ${counted(left.length, 'pod')}: ${someOf(left.map((pod) => pod.name))}`,
        remedy: `kubectl rollout restart deployment -n ${name}, if the component on-restart is installed; else remove the selector`,
      };
    }),
};

const failClosed: Check = {
  ...{ id: 'filter-fail-closed', severity: 'critical' },
  title: 'the filter is installed so that calls fail with it',
  find: ({ of }) =>
    of('WasmPlugin').flatMap(({ metadata: { namespace, name }, spec }) => {
      const isOurs = name === 'lazyscope' || name === 'lazyscope-tcp';
      if (!isOurs || spec?.failStrategy === 'FAIL_OPEN') return [];
      return {
        subject: `WasmPlugin ${namespace}/${name}`,
        sentence: `failStrategy is ${spec?.failStrategy ?? 'FAIL_CLOSE, the default'}: if the filter cannot be loaded, calls fail`,
        remedy: `kubectl patch wasmplugin -n ${namespace} ${name} --type merge -p '{"spec":{"failStrategy":"FAIL_OPEN"}}'`,
      };
    }),
};

const versions: Check = {
  ...{ id: 'filter-versions', severity: 'info' },
  title: 'namespaces have filters of different releases',
  find: (examined) => {
    const { installedFilter } = examined.mesh.state;
    const byDigest = new Map<string, string[]>();
    for (const [name] of enabled(examined))
      for (const digest of new Set(installedFilter.pinned(name)))
        byDigest.set(digest, [...(byDigest.get(digest) ?? []), name]);
    const [, ...fewer] = [...byDigest].sort(([, a], [, b]) => b.length - a.length);
    return fewer.flatMap(([digest, names]) =>
      names.map((name) => ({
        subject: `Namespace ${name}`,
        sentence: `its filter is ${digest.slice(0, 12)}, unlike that of most namespaces`,
        remedy: 'apply the manifests of the namespace of the current release again',
      })),
    );
  },
};

const modeUnknown: Check = {
  ...{ id: 'mode-unknown', severity: 'warning' },
  title: 'a label or an annotation asks for a mode that does not exist',
  find: ({ mesh: { state } }) => [
    ...[...state.namespaces].flatMap(([name, { label, mode }]): Evidence[] =>
      label === undefined || mode !== undefined ? [] : [unknownMode(`Namespace ${name}`, label)],
    ),
    ...[...state.serviceModes.unknown()].map(({ namespace, name, text }) =>
      unknownMode(`Service ${namespace}/${name}`, text),
    ),
  ],
};

function unknownMode(subject: string, text: string): Evidence {
  const [kind = '', path = ''] = subject.split(' ');
  const [where, name] = path.split('/');
  const target = name ? `annotate service -n ${where} ${name}` : `label namespace ${where}`;
  return {
    subject,
    sentence: `lazyscope.io/mode is ${JSON.stringify(text)}; ${kind === 'Namespace' ? 'a namespace' : 'a Service'} can have ${modes.join(', ')}`,
    remedy: `kubectl ${target} lazyscope.io/mode=observe --overwrite`,
  };
}

const firstCallUnknown: Check = {
  ...{ id: 'first-call-unknown', severity: 'warning' },
  title: 'an annotation asks for a first call that does not exist',
  find: ({ of }) =>
    of('Namespace').flatMap(({ metadata: { name, annotations } }) => {
      const text = annotations?.['lazyscope.io/first-call'];
      if (text === undefined || firstCalls.some((known) => known === text)) return [];
      return {
        subject: `Namespace ${name}`,
        sentence: `lazyscope.io/first-call is ${JSON.stringify(text)}; there are ${firstCalls.join(', ')}`,
        remedy: `kubectl annotate namespace ${name} lazyscope.io/first-call=gateway --overwrite`,
      };
    }),
};

const exclusions = [
  'traffic.sidecar.istio.io/excludeOutboundIPRanges',
  'traffic.sidecar.istio.io/excludeOutboundPorts',
  'traffic.sidecar.istio.io/includeOutboundIPRanges',
];

const excluded: Check = {
  ...{ id: 'outbound-excluded', severity: 'warning' },
  title: 'calls of a pod in an enabled namespace go past its sidecar',
  find: (examined) => {
    const namespaces = new Set([...enabled(examined)].map(([name]) => name));
    return examined
      .of('Pod')
      .flatMap(({ metadata: { namespace = '', name, annotations = {} } }) => {
        if (!namespaces.has(namespace)) return [];
        const set = exclusions.filter((key) => annotations[key] && annotations[key] !== '*');
        if (set.length === 0) return [];
        return {
          subject: `Pod ${namespace}/${name}`,
          sentence: `${set.map((key) => `${key.split('/')[1]}: ${annotations[key]}`).join(', ')}: the filter does not see these calls, and nothing is learned from them`,
          remedy: `remove the annotation from the pod template, or accept it: lazyscope explain ${name} -n ${namespace}`,
        };
      });
  },
};

const notIntercepted: Check = {
  ...{ id: 'not-intercepted', severity: 'warning' },
  title: 'a pod in an enabled namespace sends nothing to its sidecar by itself',
  find: (examined) =>
    [...enabled(examined)].flatMap(([namespace, pods]) =>
      pods
        .filter(({ intercepted }) => !intercepted)
        .map(({ name }) => ({
          subject: `Pod ${namespace}/${name}`,
          sentence: 'its interception mode is NONE, so its workload is not narrowed',
          remedy: 'remove sidecar.istio.io/interceptionMode: NONE from the pod template',
        })),
    ),
};

const outsideOfRanges: Check = {
  ...{ id: 'service-outside-ranges', severity: 'warning' },
  title: 'Services have addresses that the access log component does not know',
  find: (examined) => {
    const { catalog, installedFilter } = examined.mesh.state;
    return [...enabled(examined)].flatMap(([namespace]) => {
      const blind = installedFilter.blindCalls(namespace);
      // Without any range the condition of the workloads says so.
      if (!blind || blind.serviceCidrs.length === 0) return [];
      const found = servicesOutside(catalog, { namespace, blind });
      if (found.length === 0) return [];
      const some = found.map(({ address, host }) => `${address} (${host})`).sort();
      return {
        subject: `Namespace ${namespace}`,
        sentence: `${counted(found.length, 'Service')} outside of ${blind.serviceCidrs.join(', ')}, in every scope from the beginning: ${someOf(some)}`,
        remedy:
          'kubectl get servicecidrs, then apply manifests/namespace-access-log with the other range as secondServiceCidr in settings.env',
      };
    });
  },
};

export const filterChecks: readonly Check[] = [
  ...[missing, leftOut, failClosed, versions, modeUnknown, firstCallUnknown, excluded],
  ...[notIntercepted, outsideOfRanges],
];
