import { Argument, Option } from 'commander';
import { modes } from '../../companion/core/scope/condition.ts';
import { readWorkloadScope, type ScopeRecord } from '../../companion/core/scope/workload-scope.ts';
import type { Resource } from '../../companion/kube/object.ts';
import {
  type AskedMode,
  askedModes,
  type Change,
  entryOfText,
  listChange,
  namespaceMode,
  workloadMode,
} from '../core/intent.ts';
import { CommandError, exitCodes } from '../frame/failure.ts';
import { readScopes, scopeResource } from '../frame/scopes.ts';
import {
  namespaceOf,
  noNamespace,
  requireNamespace,
  type Session,
  type Verb,
} from '../frame/verb.ts';

/** The verbs that write; each prints what it does before it does it. */

const dryRun = new Option('--dry-run', 'let the API server check everything, and change nothing');
const remove = new Option('--remove', 'take them off the list again');
const workloadArgument = new Argument('<workload>', 'the name of its WorkloadScope');
const entriesArgument = new Argument('<host...>', 'namespace/host, or the full name of a Service');
const namespaces: Resource = { group: '', version: 'v1', plural: 'namespaces' };

const mode: Verb = {
  usage: 'mode',
  about: 'set the mode of a namespace, or of one workload in it',
  example: ['lazyscope mode enforce -n shop --dry-run', 'lazyscope mode off cart -n shop'],
  arguments: [
    new Argument('<mode>', 'the mode; inherit: that of the namespace').choices(askedModes),
    new Argument('[workload]', 'the name of its WorkloadScope; default: the whole namespace'),
  ],
  options: [dryRun],
  async run(session, asked: AskedMode, workload: string | undefined) {
    const namespace = await oneNamespace(session);
    if (workload !== undefined) {
      const scope = await readScope(session, namespace, workload);
      return write(session, workloadMode(scope, asked), scopeResource, scope);
    }
    if (asked === 'inherit') {
      const remedy = `name a workload, or give one of: ${modes.join(', ')}`;
      throw new CommandError('mode inherit: a namespace inherits no mode', remedy, exitCodes.usage);
    }
    const found = await (await session.cluster()).get(namespaces, namespace);
    if (!found) throw noNamespace(namespace);
    const label = found.metadata.labels?.['lazyscope.io/mode'];
    const scopes = await readScopes(session, namespace);
    const change = namespaceMode({ name: namespace, label, scopes }, asked);
    return write(session, change, namespaces, { name: namespace });
  },
};

const pin: Verb = {
  usage: 'pin',
  about: 'keep hosts in the scope of a workload, used or not',
  example: ['lazyscope pin cart billing/invoices.billing.svc.cluster.local -n shop'],
  arguments: [workloadArgument, entriesArgument],
  options: [remove, dryRun],
  run: (session, workload: string, hosts: string[]) => changeList(session, 'pins', workload, hosts),
};

const exclude: Verb = {
  usage: 'exclude',
  about: 'keep hosts out of the scope of a workload',
  example: ['lazyscope exclude cart ads/tracker.ads.svc.cluster.local -n shop --dry-run'],
  arguments: [workloadArgument, entriesArgument],
  options: [remove, dryRun],
  run: (session, workload: string, hosts: string[]) =>
    changeList(session, 'excludes', workload, hosts),
};

export const intentVerbs: readonly Verb[] = [mode, pin, exclude];

async function changeList(
  session: Session,
  list: 'pins' | 'excludes',
  workload: string,
  hosts: readonly string[],
) {
  const entries = hosts.map((host) => {
    const entry = entryOfText(host);
    if (entry) return entry;
    const remedy = 'write namespace/host, for example shop/cart.shop.svc.cluster.local';
    throw new CommandError(`${host}: the namespace is missing`, remedy, exitCodes.usage);
  });
  const scope = await readScope(session, await oneNamespace(session), workload);
  const change = listChange(scope, list, entries, session.options.remove ? 'remove' : 'add');
  return write(session, change, scopeResource, scope);
}

async function oneNamespace(session: Session): Promise<string> {
  const namespace = await namespaceOf(session);
  if (namespace !== undefined) return namespace;
  const remedy = 'name one namespace (-n)';
  throw new CommandError('-A: this verb changes one namespace only', remedy, exitCodes.usage);
}

async function readScope(
  session: Session,
  namespace: string,
  workload: string,
): Promise<ScopeRecord> {
  const found = await (await session.cluster()).get(scopeResource, workload, namespace);
  if (found) return readWorkloadScope(found);
  await requireNamespace(session, namespace);
  const remedy = `lazyscope status -n ${namespace} lists those that are there; enable the namespace first`;
  throw new CommandError(`workload ${namespace}/${workload}: it has no WorkloadScope`, remedy);
}

async function write(
  { out, options, cluster, show }: Session,
  { title, effects, patch }: Change,
  resource: Resource,
  target: { name: string; namespace?: string },
) {
  const isDry = options.dryRun === true;
  const result = patch === undefined ? 'unchanged' : isDry ? 'dry run' : 'done';
  const isText = options.output === 'table' || options.output === 'wide';
  const lines = [title, ...effects].join('\n  ');
  if (isText) out.write(`${lines}\n`);
  if (patch) await (await cluster()).patch(resource, target, patch, isDry);
  if (isText) out.write(`${result === 'dry run' ? 'dry run: nothing was changed' : result}\n`);
  else show({ data: { title, effects, result }, text: () => '' });
  return undefined;
}
