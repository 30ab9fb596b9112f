import { InvalidArgumentError, Option } from 'commander';
import { counted } from '../../companion/core/mesh/counted.ts';
import { type Column, type Tone, tableOf } from '../core/table.ts';
import { type Check, diagnose, pageOf, type Severity, severities } from '../doctor/check.ts';
import { istiodChecks } from '../doctor/istiod-checks.ts';
import { meshChecks } from '../doctor/mesh-checks.ts';
import { exitCodes } from '../frame/failure.ts';
import { readWholeMesh } from '../frame/mesh.ts';
import type { Session, Verb } from '../frame/verb.ts';

const checks: readonly Check[] = [...istiodChecks, ...meshChecks];

export const doctorVerb: Verb = {
  usage: 'doctor',
  about: 'what is wrong with the mesh and its control plane; works without Lazyscope',
  example: ['lazyscope doctor --fail-on warning', 'lazyscope doctor --list -o json'],
  options: [
    new Option('--list', 'list the checks, and look at nothing'),
    new Option('--only <ids>', 'run these checks only, by their ids with commas').argParser(
      readIds,
    ),
    new Option('--fail-on <severity>', 'exit with 79 for findings that are so bad or worse')
      .choices(severities)
      .default('critical'),
  ],
  async run(session) {
    const { options } = session;
    const only = options.only as string[] | undefined;
    const chosen = checks.filter(({ id }) => !only || only.includes(id));
    if (options.list) {
      const listed = chosen.map(({ find: _, ...rest }) => ({ ...rest, page: pageOf(rest.id) }));
      session.show({ data: listed, text: (view) => tableOf(listColumns, listed, view) });
      return undefined;
    }
    return examine(session, chosen);
  },
};

async function examine(session: Session, chosen: readonly Check[]) {
  const mesh = await readWholeMesh(session);
  const { list } = await session.cluster();
  const istiods = await list({
    ...{ group: 'apps', version: 'v1', plural: 'deployments' },
    namespace: mesh.config.rootNamespace,
    labelSelector: 'app=istiod',
  });
  const found = diagnose(chosen, { mesh, istiods, now: session.now() });
  session.show({
    data: { checks: chosen.length, findings: found },
    text: ({ paint }) =>
      [
        ...found.map(({ id, severity, subject, sentence, remedy, page }) => {
          const mark = paint(severity.toUpperCase().padEnd(8), tones[severity]);
          const indent = ' '.repeat(9);
          return `${mark} ${subject} ${id}: ${sentence}\n${indent}remedy: ${remedy}\n${indent}page:   ${page}\n\n`;
        }),
        `${counted(chosen.length, 'check')}, ${counted(found.length, 'finding')}.\n`,
      ].join(''),
  });
  const failOn = severities.indexOf(session.options.failOn as Severity);
  const fails = found.some(({ severity }) => severities.indexOf(severity) <= failOn);
  return fails ? exitCodes.found : undefined;
}

const tones: Record<Severity, Tone> = { critical: 'bad', warning: 'warn', info: 'faint' };

const listColumns: Column<Omit<Check, 'find'> & { page: string }>[] = [
  { title: 'ID', cell: ({ id }) => id },
  { title: 'SEVERITY', cell: ({ severity }) => severity },
  { title: 'FINDS', cell: ({ title }) => title },
  { title: 'PAGE', cell: ({ page }) => page, wide: true },
];

function readIds(text: string): string[] {
  const ids = text.split(',').map((id) => id.trim());
  const unknown = ids.filter((id) => !checks.some((check) => check.id === id));
  if (unknown.length === 0) return ids;
  throw new InvalidArgumentError(`${unknown.join(', ')}: no such check; --list names them.`);
}
