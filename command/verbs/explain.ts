import { Argument, Option } from 'commander';
import { callPathOf, type Named, readNamed } from '../../companion/controller/explain/call.ts';
import { type Known, knownWorkload } from '../../companion/controller/explain/known.ts';
import { stepsOf } from '../../companion/controller/explain/steps.ts';
import { counted } from '../../companion/core/mesh/counted.ts';
import { whyOf } from '../../companion/core/scope/why.ts';
import { type Column, type Paint, tableOf } from '../core/table.ts';
import { CommandError, exitCodes } from '../frame/failure.ts';
import { readWholeMesh } from '../frame/mesh.ts';
import { namespaceOf, requireNamespace, type Session, type Verb } from '../frame/verb.ts';
import type { Mesh } from '../mesh/read.ts';

export const explainVerb: Verb = {
  usage: 'explain',
  about: 'why each host is in a scope; or where a call to a host would go, step by step',
  example: [
    'lazyscope explain web -n shop',
    'lazyscope explain web http://cart:8080 -n shop',
    'lazyscope explain web 10.96.0.7:5432 --tcp -n shop',
  ],
  arguments: [
    new Argument('<workload>', 'a workload with a sidecar, by the name of its owner'),
    new Argument('[host]', 'what it calls: a host, host:port, or a URL; nothing is sent'),
  ],
  options: [new Option('--tcp', 'a connection that is no HTTP: only its address counts')],
  async run(session, name: string, text: string | undefined) {
    const namespace = await namespaceOf(session);
    if (namespace === undefined) {
      const remedy = 'name one namespace (-n)';
      throw new CommandError('-A: a workload is in one namespace', remedy, exitCodes.usage);
    }
    const named = text === undefined ? undefined : namedCall(text, session.options.tcp === true);
    const mesh = await readWholeMesh(session);
    const known = knownWorkload(mesh, namespace, name);
    if (!known) {
      await requireNamespace(session, namespace);
      const names = mesh.state.workloads(namespace).map((each) => each.name);
      const remedy = `choose one with a sidecar: ${names.join(', ') || 'none is there'}`;
      throw new CommandError(`workload ${namespace}/${name}: no running pod has a sidecar`, remedy);
    }
    if (named) showCall(session, mesh, known, named);
    else showScope(session, mesh, known);
    return undefined;
  },
};

function namedCall(text: string, tcp: boolean): Named {
  const named = readNamed(text, tcp);
  if (named) return named;
  const remedy = 'give a host, host:port or a URL, for example cart.shop:8080';
  throw new CommandError(`${text}: neither a host nor an address`, remedy, exitCodes.usage);
}

function showCall(session: Session, mesh: Mesh, known: Known, named: Named): void {
  const path = callPathOf(mesh, known, named, session.now());
  const steps = stepsOf(mesh, known, path);
  const { resolution, entry, unknown } = path;
  const { namespace, name } = known.workload;
  session.show({
    data: {
      ...{ namespace, workload: name, mode: known.mode, call: path.call, entry },
      resolution: { kind: resolution.kind, host: resolution.host, port: resolution.port },
      mtls: path.mtls.speech,
      firstCall: {
        strategy: unknown.strategy,
        otherwise: unknown.otherwise,
        reason: unknown.reason,
      },
      steps,
    },
    text: ({ paint }) =>
      steps.map(({ step, text }) => `${paint(step.padEnd(10), 'faint')}   ${text}\n`).join(''),
  });
}

function showScope(session: Session, mesh: Mesh, known: Known): void {
  const { workload, mode, hosts, inForce, scoped } = known;
  const rows = hosts.map((host) => ({
    host: host.entry,
    reason: host.reason,
    why: whyOf(mesh.state.catalog, host),
    imported: inForce?.includes(host.entry) ?? false,
  }));
  const { namespace, name } = workload;
  const title = inForce
    ? `${namespace}/${name}, mode ${mode}: a scope of ${counted(inForce.length, 'host')} is in force.`
    : `${namespace}/${name}, ${mode === 'not enabled' ? mode : `mode ${mode}`}: full configuration. ${scoped || silence(mode)} In force it would be:`;
  session.show({
    data: { namespace, workload: name, mode, inForce: inForce !== undefined, hosts: rows },
    text: (view: { wide: boolean; paint: Paint }) =>
      `${title}\n\n${tableOf(inForce ? columns : columns.slice(0, 3), rows, view)}`,
  });
}

function silence(mode: string): string {
  return mode === 'not enabled'
    ? 'The namespace is not enabled.'
    : 'The controller has recorded nothing about it yet.';
}

type Row = { host: string; reason: string; why: string; imported: boolean };

const columns: Column<Row>[] = [
  { title: 'HOST', cell: ({ host }) => host },
  { title: 'REASON', cell: ({ reason }) => reason },
  { title: 'WHY', cell: ({ why }) => why },
  { title: 'IMPORTED', cell: ({ imported }) => (imported ? 'yes' : { text: 'no', tone: 'warn' }) },
];
