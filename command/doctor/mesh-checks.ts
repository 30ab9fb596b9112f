import { counted } from '../../companion/core/mesh/counted.ts';
import { isDiscovered } from '../../companion/core/mesh/discovery.ts';
import type { HostRecord } from '../../companion/core/mesh/records.ts';
import { meshConfigMapOf } from '../../companion/core/mesh/revision.ts';
import { isWorrying } from '../../companion/core/scope/barrier.ts';
import { conditionIn, timeIn } from '../../companion/core/scope/condition.ts';
import { destinationsMax } from '../../companion/core/scope/edges.ts';
import { recordsUnder } from '../../companion/core/scope/needed.ts';
import type { ScopeRecord } from '../../companion/core/scope/workload-scope.ts';
import type { Check, Examined } from './check.ts';

/** Checks of objects of Istio and of the product. */

const scopesOf = ({ mesh }: Examined): ScopeRecord[] =>
  [...mesh.state.namespaces.keys()].flatMap((name) => [...mesh.state.scopes.in(name)]);
const subjectOf = ({ namespace, name }: ScopeRecord) => `WorkloadScope ${namespace}/${name}`;
const weekMs = 7 * 86_400_000;

const hidden: Check = {
  ...{ id: 'system-hidden', severity: 'critical' },
  title: 'discoverySelectors hide the namespace of Lazyscope from istiod',
  find({ mesh: { state, config } }) {
    const labels = state.namespaces.get(config.namespace)?.labels;
    if (!labels) return [];
    return [...state.discovery].flatMap(([revision, selectors]) =>
      isDiscovered(selectors, labels)
        ? []
        : {
            subject: `ConfigMap ${config.rootNamespace}/${meshConfigMapOf(revision)}`,
            sentence: `its discoverySelectors leave out namespace ${config.namespace}: nothing is narrowed`,
            remedy: `kubectl label namespace ${config.namespace} KEY=VALUE, a label that they select`,
          },
    );
  },
};

const dynamicDns: Check = {
  ...{ id: 'dynamic-dns', severity: 'warning' },
  title: 'unknown HTTP hosts go to a proxy by name (ALLOW_ANY_DYNAMIC_DNS)',
  find: ({ mesh: { meshPolicies, config } }) =>
    meshPolicies.includes('ALLOW_ANY_DYNAMIC_DNS')
      ? [
          {
            subject: `ConfigMap ${config.rootNamespace}/istio`,
            sentence:
              'outboundTrafficPolicy is ALLOW_ANY_DYNAMIC_DNS, which first calls have not been tried with',
            remedy: 'set outboundTrafficPolicy.mode: ALLOW_ANY in the mesh configuration',
          },
        ]
      : [],
};

/** A range of more than a sixteenth of all IPv4 addresses. */
const wide = /^\d+\.\d+\.\d+\.\d+\/([0-7])$|^::\/\d$/;

const catchAll: Check = {
  ...{ id: 'catch-all-range', severity: 'warning' },
  title: 'a ServiceEntry for all of the mesh has a range of most addresses',
  find({ mesh: { state } }) {
    const isOpen = ({ addresses, resolution, exportTo = [] }: HostRecord) =>
      resolution === 'NONE' && exportTo.length === 0 && addresses.some((each) => wide.test(each));
    return [...state.catalog.entries()].filter(isOpen).map(({ namespace, name, addresses }) => ({
      subject: `ServiceEntry ${namespace}/${name}`,
      sentence: `${addresses.filter((each) => wide.test(each)).join(', ')} with resolution NONE opens REGISTRY_ONLY for every sidecar`,
      remedy: `kubectl patch serviceentry -n ${namespace} ${name} --type merge -p '{"spec":{"exportTo":["."]}}'`,
    }));
  },
};

const pins: Check = {
  ...{ id: 'pin-of-nothing', severity: 'warning' },
  title: 'a pin names a host that the mesh does not have',
  find: (examined) =>
    scopesOf(examined).flatMap((scope) =>
      scope.pins.flatMap((pin) => {
        const [namespace = '', host = ''] = pin.split('/');
        const { catalog } = examined.mesh.state;
        const found = [...recordsUnder(catalog, host)].some(
          (record) => namespace === '*' || record.namespace === namespace,
        );
        const isRuled = catalog.virtualServices.all(host).length > 0;
        if (found || isRuled) return [];
        return {
          subject: subjectOf(scope),
          sentence: `pin ${pin} matches no Service, ServiceEntry or VirtualService of this cluster`,
          remedy: `lazyscope pin ${scope.name} ${pin} --remove -n ${scope.namespace}`,
        };
      }),
    ),
};

const wildcards: Check = {
  ...{ id: 'wildcard-pin', severity: 'info' },
  title: 'a pin is a wildcard, which istiod resolves at each push',
  find: (examined) =>
    scopesOf(examined).flatMap((scope) =>
      scope.pins
        .filter((pin) => pin.includes('*'))
        .map((pin) => ({
          subject: subjectOf(scope),
          sentence: `pin ${pin} is a wildcard: istiod 1.31 and later has a fast path for exact hosts only`,
          remedy: `pin the hosts that are needed: lazyscope pin ${scope.name} HOST -n ${scope.namespace}`,
        })),
    ),
};

const nearlyFull: Check = {
  ...{ id: 'many-destinations', severity: 'warning' },
  title: 'a workload calls nearly as many hosts as can be learned',
  find: (examined) =>
    scopesOf(examined).flatMap((scope) => {
      const hosts = scope.status?.hosts ?? [];
      const learned = hosts.filter(({ reason }) => reason === 'learned').length;
      if (learned <= destinationsMax * 0.8) return [];
      return {
        subject: subjectOf(scope),
        sentence: `it has ${counted(learned, 'learned host')}; more than ${destinationsMax} are not learned`,
        remedy: `lazyscope mode observe ${scope.name} -n ${scope.namespace}`,
      };
    }),
};

const obstacles: Check = {
  ...{ id: 'not-narrowed', severity: 'warning' },
  title: 'a workload in mode enforce is not narrowed, for a reason that does not pass by itself',
  find: (examined) =>
    scopesOf(examined).flatMap((scope) => {
      const ready = conditionIn(scope.status, 'Ready');
      if (scope.status?.mode !== 'enforce' || ready?.status !== 'False' || !isWorrying(ready))
        return [];
      return {
        subject: subjectOf(scope),
        sentence: `${ready.reason}: ${ready.message}`,
        remedy: `lazyscope check ${scope.namespace}`,
      };
    }),
};

const pending: Check = {
  ...{ id: 'withdrawal-pending', severity: 'critical' },
  title: 'a scope is in force although proxies are silent',
  find: (examined) =>
    scopesOf(examined).flatMap((scope) => {
      const found = conditionIn(scope.status, 'WithdrawalPending');
      if (found?.status !== 'True') return [];
      return {
        subject: subjectOf(scope),
        sentence: `${found.reason}: ${found.message}`,
        remedy:
          'kubectl get pods -n lazyscope-system -o wide shows which node companion is missing',
      };
    }),
};

const idle: Check = {
  ...{ id: 'observed-long', severity: 'info' },
  title: 'a workload has been ready to be narrowed for a week, in mode observe',
  find: (examined) =>
    scopesOf(examined).flatMap((scope) => {
      const since = timeIn(scope.status?.learningSince);
      const isReady = conditionIn(scope.status, 'Ready')?.status === 'True';
      if (scope.status?.mode !== 'observe' || !isReady || since === undefined) return [];
      if (examined.now - since < weekMs) return [];
      return {
        subject: subjectOf(scope),
        sentence: `it has learned since ${scope.status.learningSince} and nothing stands in the way`,
        remedy: `lazyscope mode enforce ${scope.name} -n ${scope.namespace} --dry-run`,
      };
    }),
};

const mostlyEager: Check = {
  ...{ id: 'mostly-eager', severity: 'info' },
  title: 'most hosts of a scope are there because their first call could not be served',
  find: (examined) =>
    scopesOf(examined).flatMap((scope) => {
      const hosts = scope.status?.hosts ?? [];
      const eager = hosts.filter(({ reason }) => reason === 'eager').length;
      if (hosts.length < 20 || eager * 2 <= hosts.length) return [];
      return {
        subject: subjectOf(scope),
        sentence: `${eager} of its ${counted(hosts.length, 'host')} are eager`,
        remedy: `set exportTo of those that it never calls; lazyscope explain ${scope.name} -n ${scope.namespace} names them`,
      };
    }),
};

export const meshChecks: readonly Check[] = [
  ...[hidden, dynamicDns, catchAll, pins, wildcards, nearlyFull],
  ...[obstacles, pending, idle, mostlyEager],
];
