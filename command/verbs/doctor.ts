import { InvalidArgumentError, Option } from 'commander';
import { counted } from '../../companion/core/mesh/counted.ts';
import { type Column, type Tone, tableOf } from '../core/table.ts';
import { type Check, diagnose, pageOf, type Severity, severities } from '../doctor/check.ts';
import { checks } from '../doctor/checks.ts';
import { examine } from '../doctor/examine.ts';
import { junitOf, sarifOf } from '../doctor/reports.ts';
import { exitCodes } from '../frame/failure.ts';
import { windowOption } from '../frame/istiods.ts';
import type { Session, Verb } from '../frame/verb.ts';

/** Enough to find what a release of Istio does to all proxies, in a few seconds. */
const deepDefault = 10;

export const doctorVerb: Verb = {
  usage: 'doctor',
  about: 'what is wrong with the mesh and its control plane; works without Lazyscope',
  example: ['lazyscope doctor --fail-on warning', 'lazyscope doctor --list -o json'],
  options: [
    new Option('--list', 'list the checks, and look at nothing'),
    new Option('--only <ids>', 'run these checks only, by their ids with commas').argParser(
      readIds,
    ),
    new Option(
      '--deep [count]',
      `also read the configuration of so many proxies, or of all; default: ${deepDefault}`,
    ).argParser(readCount),
    windowOption,
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
    return examineMesh(session, chosen);
  },
};

async function examineMesh(session: Session, chosen: readonly Check[]) {
  const { deep = 0, failOn: limit } = session.options;
  const failOn = limit as Severity;
  const examined = await examine(session, deep === true ? deepDefault : (deep as number));
  const found = diagnose(chosen, examined);
  session.show({
    data: { checks: chosen.length, findings: found },
    text: ({ paint, wide }) =>
      [
        ...found.map(({ id, severity, subject, sentence, evidence, remedy, page }) => {
          const mark = paint(severity.toUpperCase().padEnd(8), tones[severity]);
          const indent = ' '.repeat(9);
          const shown = wide ? `${indent}see:    ${evidence}\n` : '';
          return `${mark} ${subject} ${id}: ${sentence}\n${shown}${indent}remedy: ${remedy}\n${indent}page:   ${page}\n\n`;
        }),
        `${counted(chosen.length, 'check')}, ${counted(found.length, 'finding')}.\n`,
      ].join(''),
    reports: {
      sarif: () => sarifOf(chosen, found),
      junit: () => junitOf(chosen, found, failOn),
    },
  });
  const worst = severities.indexOf(failOn);
  const fails = found.some(({ severity }) => severities.indexOf(severity) <= worst);
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

function readCount(text: string): number {
  if (text === 'all') return Number.POSITIVE_INFINITY;
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('a number of proxies from 1, or all.');
}
