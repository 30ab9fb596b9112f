import { Argument, Option } from 'commander';
import { selects } from '../../companion/core/mesh/label-selector.ts';
import { readPod } from '../../companion/core/mesh/pod-record.ts';
import { defaultRevision } from '../../companion/core/mesh/revision.ts';
import { readSidecar } from '../../companion/core/scope/sidecar.ts';
import { differenceOf, differenceText, exportOf } from '../core/export.ts';
import type { Exported } from '../core/plain-sidecar.ts';
import { CommandError, exitCodes } from '../frame/failure.ts';
import { readScopes } from '../frame/scopes.ts';
import { namespaceOf, requireNamespace, type Session, type Verb } from '../frame/verb.ts';

export const exportVerb: Verb = {
  usage: 'export',
  about: 'the learned scopes as plain, commented Sidecars for Git, which work without Lazyscope',
  example: [
    'lazyscope export -n shop > shop-sidecars.yaml',
    'lazyscope export cart -n shop --diff',
  ],
  arguments: [new Argument('[workload]', 'one workload; default: all')],
  options: [
    new Option(
      '--diff',
      'show how they differ from the Sidecars of the cluster; then exit with 79',
    ),
    new Option('--root-namespace <name>', 'root namespace of Istio').default('istio-system'),
  ],
  async run(session, workload: string | undefined) {
    const namespace = await namespaceOf(session);
    const scopes = (await readScopes(session, namespace)).filter(
      ({ name }) => workload === undefined || name === workload,
    );
    if (scopes.length === 0) await requireNamespace(session, namespace);
    if (workload === undefined && scopes.length === 0)
      session.out.warn('nothing to export: no workload here has a WorkloadScope\n');
    if (workload !== undefined && scopes.length === 0) {
      const remedy = 'lazyscope status lists the workloads that have one';
      throw new CommandError(`workload ${workload}: it has no WorkloadScope`, remedy);
    }
    const rootNamespace = session.options.rootNamespace as string;
    const { sidecars, pods } = await readNeighbours(session, namespace, rootNamespace);
    const exported = scopes.flatMap((scope) => {
      const own = pods.filter(
        (pod) => pod.namespace === scope.namespace && selects(scope.selector, pod.labels),
      );
      const revisions = own.length > 0 ? own.map(({ revision }) => revision) : [defaultRevision];
      const found = exportOf({ scope, sidecars, revisions, rootNamespace });
      if (!found) {
        session.out.warn(`${scope.namespace}/${scope.name}: left out, nothing was learned yet\n`);
      }
      return found ?? [];
    });
    if (session.options.diff) return showDifferences(session, exported, sidecars);
    const yaml = exported.map((each) => each.yaml).join('---\n');
    session.show({ data: exported, text: () => yaml });
    return undefined;
  },
};

function showDifferences(
  session: Session,
  exported: readonly Exported[],
  sidecars: Parameters<typeof differenceOf>[1],
) {
  const differences = exported
    .map((each) => differenceOf(each, sidecars))
    .filter(({ added, removed }) => added.length + removed.length > 0);
  session.show({ data: differences, text: () => differences.map(differenceText).join('') });
  return differences.length > 0 ? exitCodes.found : undefined;
}

async function readNeighbours(
  { cluster }: Session,
  namespace: string | undefined,
  rootNamespace: string,
) {
  const { list } = await cluster();
  const sidecars = { group: 'networking.istio.io', version: 'v1', plural: 'sidecars' };
  const places = namespace === undefined ? [undefined] : [...new Set([namespace, rootNamespace])];
  const lists = places.map((place) => list({ ...sidecars, ...(place && { namespace: place }) }));
  const pods = list({ group: '', version: 'v1', plural: 'pods', ...(namespace && { namespace }) });
  return {
    sidecars: (await Promise.all(lists)).flat().map(readSidecar),
    pods: (await pods).map(readPod).filter(({ hasSidecar, running }) => hasSidecar && running),
  };
}
