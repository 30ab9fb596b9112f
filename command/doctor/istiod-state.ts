import { conditionIn } from '../../companion/core/scope/condition.ts';
import type { KubeObject } from '../../companion/kube/object.ts';
import { readQuantity } from '../core/quantity.ts';
import { compareVersions, discoveryContainer, versionIn } from '../mesh/istiod.ts';
import type { Check, Evidence, Examined } from './check.ts';

/** What the Deployments of istiod show: their version, resources and state. */

const version = (text: string) => versionIn(`:${text}`) ?? { major: 0, minor: 0, patch: 0 };

function eachIstiod(
  { istiods }: Examined,
  tell: (istiod: KubeObject) => string | undefined,
  remedy: (target: string) => string,
): Evidence[] {
  return istiods.flatMap((istiod) => {
    const sentence = tell(istiod);
    const { namespace, name } = istiod.metadata;
    if (sentence === undefined) return [];
    const subject = `Deployment ${namespace}/${name}`;
    return [{ subject, sentence, remedy: remedy(`-n ${namespace} deployment/${name}`) }];
  });
}

const unavailable: Check = {
  ...{ id: 'istiod-unavailable', severity: 'critical' },
  title: 'istiod is not available',
  find: (examined) =>
    eachIstiod(
      examined,
      ({ status }) => unavailableIn(status),
      (target) => `kubectl describe ${target}; kubectl logs ${target}`,
    ),
};

/** The message of the condition Available, if it is False. */
export function unavailableIn(status: KubeObject['status']): string | undefined {
  const found = conditionIn(status, 'Available');
  return found?.status === 'False' ? `it is not available: ${found.message ?? ''}` : undefined;
}

const cpuLimit: Check = {
  ...{ id: 'istiod-cpu-limit', severity: 'warning' },
  title: 'istiod may use less than one CPU',
  find: (examined) =>
    eachIstiod(
      examined,
      (istiod) => {
        const limit = discoveryContainer(istiod)?.resources?.limits?.cpu;
        if (limit === undefined || (readQuantity(limit) ?? 0) >= 1) return undefined;
        return `its CPU limit is ${limit}: pushes stop whenever it is used up`;
      },
      (target) => `kubectl set resources ${target} --limits=cpu=0`,
    ),
};

const noRequest: Check = {
  ...{ id: 'istiod-no-request', severity: 'warning' },
  title: 'istiod requests no memory',
  find: (examined) =>
    eachIstiod(
      examined,
      (istiod) => {
        const { requests, limits } = discoveryContainer(istiod)?.resources ?? {};
        if (requests?.memory || limits?.memory) return undefined;
        return 'it requests no memory, so it is among the first that a full node evicts';
      },
      (target) => `kubectl set resources ${target} --requests=memory=2Gi`,
    ),
};

const spuriousPushes: Check = {
  ...{ id: 'istiod-metadata-pushes', severity: 'warning' },
  title: 'a release of Istio pushes when only the metadata of a VirtualService changed',
  find: (examined) =>
    eachIstiod(
      examined,
      (istiod) => {
        const image = discoveryContainer(istiod)?.image;
        const found = versionIn(image);
        const isAffected =
          found &&
          compareVersions(found, version('1.30.0')) >= 0 &&
          compareVersions(found, version('1.30.3')) < 0;
        return isAffected
          ? `${image} pushes whenever a VirtualService's metadata changes`
          : undefined;
      },
      () => 'upgrade istiod to 1.30.3 or later: istioctl upgrade',
    ),
};

const exclusions: Check = {
  ...{ id: 'sidecar-exclusion', severity: 'warning' },
  title: 'a Sidecar excludes hosts by `~`, which istiod before 1.31 does not know',
  find({ istiods, of }) {
    const old = istiods
      .map((istiod) => discoveryContainer(istiod)?.image)
      .find((image) => {
        const found = versionIn(image);
        return found && compareVersions(found, version('1.31.0')) < 0;
      });
    if (old === undefined) return [];
    type Egress = { hosts?: string[] };
    return of('Sidecar').flatMap(({ metadata: { namespace, name }, spec }) => {
      const hosts = ((spec?.egress ?? []) as Egress[]).flatMap(({ hosts = [] }) => hosts);
      // `~/*` alone means no outbound host in every release.
      const excluded = hosts.filter((host) => host.startsWith('~') && host !== '~/*');
      if (excluded.length === 0) return [];
      return {
        subject: `Sidecar ${namespace}/${name}`,
        sentence: `${excluded.slice(0, 5).join(', ')}: ${old} does not exclude hosts`,
        remedy: `kubectl edit sidecar -n ${namespace} ${name}, and import what is needed instead`,
      };
    });
  },
};

const revisions: Check = {
  ...{ id: 'revision-unread', severity: 'warning' },
  title: 'the controller does not read the mesh configuration of a revision of istiod',
  find({ istiods, mesh: { state }, of }) {
    // Without Lazyscope nothing reads it.
    if (of('WorkloadScope').length === 0) return [];
    return istiods.flatMap(({ metadata: { namespace, name, labels } }) => {
      const revision = labels?.['istio.io/rev'] ?? 'default';
      if (state.revisions.includes(revision)) return [];
      return {
        subject: `Deployment ${namespace}/${name}`,
        sentence: `revision ${revision} is not in LAZYSCOPE_REVISIONS: the configuration of the default revision is taken for its proxies`,
        remedy: `kubectl set env -n lazyscope-system deployment/lazyscope-controller LAZYSCOPE_REVISIONS=${revision}`,
      };
    });
  },
};

export const istiodState: readonly Check[] = [
  ...[unavailable, cpuLimit, noRequest, spuriousPushes, exclusions, revisions],
];
