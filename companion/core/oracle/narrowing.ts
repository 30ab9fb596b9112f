import { canonical } from '../scope/canonical.ts';
import { sentinelHost } from '../scope/sentinel.ts';
import { at, type ConfigDump, type Fields, type Json, objectsIn } from './config-dump.ts';
import { type Imported, type IsImported, importedIn } from './imported.ts';
import { jsonDifferences } from './json-difference.ts';
import { anything, type Part, partsOf, passesOn } from './parts.ts';
import { isOfSidecar } from './sidecar-names.ts';

/**
 * The second oracle: what a narrowed proxy has for hosts that it imports, and for everything
 * inbound, is what the same proxy has with full configuration. Input is what Envoy's admin
 * interface answers to `/config_dump` in either state, and what the Sidecar imports.
 */

export type Difference = {
  /** The part that differs, such as `filter chain 0.0.0.0_80 > ...`. */
  part: string;
  /** Fields from the part inwards; empty where the whole part is missing or added. */
  path: string;
  /** Undefined where it is not there. */
  full: Json;
  narrowed: Json;
};

/**
 * What may differ, with the reason. Two more things are never looked at: parts of our own
 * (own-parts.ts), and `version_info` and `last_updated`, which count pushes. The order of
 * listeners, filter chains, routes by name, virtual hosts, domains and clusters has no meaning to
 * Envoy, which finds each by its key; the order of routes and filters has, and is compared.
 */
export const mayDiffer = {
  'not imported':
    'To leave hosts out is what narrowing is for; the filter asks about the first call to each.',
  sentinel:
    'It keeps the listeners of HTTP ports, which are those of the whole mesh at the time; enabling ' +
    'removes its clusters, which nobody calls.',
  'passed through':
    'Instead of a host that is not imported, a listener has the chain that passes connections on.',
  inspector:
    'A listener inspects connections for what its chains match; a host that is not imported takes ' +
    'its chain with it, and with the last of them the inspector.',
  'name of the Sidecar':
    'With `ingress` listeners istiod names spans and notes of inbound calls for the Sidecar; ours ' +
    'has the listeners of the default Sidecar under a name of its own.',
} as const;

export type Excused = { part: string; reason: keyof typeof mayDiffer };

export type Comparison = {
  differences: Difference[];
  /** What differs and may. */
  excused: Excused[];
};

type Sides = {
  full: ReadonlyMap<string, Part>;
  narrowed: ReadonlyMap<string, Part>;
  isImported: IsImported;
};

export function compareNarrowed(
  full: ConfigDump,
  narrowed: ConfigDump,
  imported: Imported,
): Comparison {
  const sides: Sides = {
    full: partsOf(full),
    narrowed: partsOf(narrowed),
    isImported: importedIn(full, imported),
  };
  const found: Comparison = { differences: [], excused: [] };
  for (const [name, part] of sides.full) {
    const left = sides.narrowed.get(name);
    if (left) compareParts(part, left, sides, found);
    else if (mustBeThere(part, sides)) found.differences.push(missing(part));
    else
      found.excused.push({ part: name, reason: isOfSentinel(part) ? 'sentinel' : 'not imported' });
  }
  for (const [name, part] of sides.narrowed) {
    if (sides.full.has(name)) continue;
    if (isBySentinel(part, sides)) found.excused.push({ part: name, reason: 'sentinel' });
    else found.differences.push({ part: name, path: '', full: undefined, narrowed: part.value });
  }
  return found;
}

const missing = ({ name, value }: Part): Difference => ({
  ...{ part: name, path: '' },
  ...{ full: value, narrowed: undefined },
});

const isOfSentinel = ({ hosts }: Part) =>
  hosts.length > 0 && hosts.every((host) => host === sentinelHost);

/**
 * With the sentinel comes the listener of its port, and its routes have every host on that port:
 * also those whose protocol is sniffed, which have listeners of their own elsewhere.
 */
function isBySentinel(part: Part, { full, narrowed }: Sides): boolean {
  if (part.kind === 'cluster') return false;
  if (isOfSentinel(part)) return true;
  if (part.kind !== 'virtual host' && part.hosts.includes(sentinelHost)) return true;
  const routes = narrowed.get(part.within ?? '');
  return routes !== undefined && !full.has(routes.name) && routes.hosts.includes(sentinelHost);
}

/** A listener without a chain for anything else closes the connections that no chain matches. */
function mustBeThere(part: Part, { narrowed, isImported }: Sides): boolean {
  if (isImported(part.hosts)) return true;
  return part.name.endsWith(` > ${anything}`) && narrowed.has(part.within ?? '');
}

function compareParts(part: Part, left: Part, sides: Sides, found: Comparison): void {
  const { name } = part;
  const passedOn = isPassedOn(part, left, sides);
  if (passedOn) found.excused.push({ part: name, reason: 'passed through' });
  const expected = passedOn ?? part.value;
  const needless = part.kind === 'listener' ? needlessInspectors(part, left, sides) : [];
  if (needless.length > 0) found.excused.push({ part: name, reason: 'inspector' });
  for (const each of jsonDifferences(
    withoutInspectors(expected, left.value, needless),
    left.value,
  )) {
    if (isOfSidecar(each)) found.excused.push({ part: name, reason: 'name of the Sidecar' });
    else found.differences.push({ part: name, ...each, path: each.path.join(' > ') });
  }
}

/** What stands instead of the chain of a host that is not imported: as it is elsewhere. */
function isPassedOn(part: Part, left: Part, { full, isImported }: Sides): Fields | undefined {
  if (!passesOn(left.value) || passesOn(part.value) || isImported(part.hosts)) return undefined;
  return [...full.values()].find(({ value }) => passesOn(value))?.value;
}

const inspectors: Record<string, (match: Json) => boolean> = {
  'envoy.filters.listener.tls_inspector': (match) =>
    at(match, 'server_names') !== undefined || at(match, 'transport_protocol') === 'tls',
  'envoy.filters.listener.http_inspector': (match) =>
    at(match, 'application_protocols') !== undefined,
};

/** Inspectors of full configuration that no chain of the narrowed listener asks for. */
function needlessInspectors(part: Part, left: Part, { narrowed }: Sides): string[] {
  const namesIn = ({ value }: Part) => objectsIn(value.listener_filters).map((each) => each.name);
  const chains = [...narrowed.values()].filter(({ within }) => within === part.name);
  const isAskedFor = (asks: (match: Json) => boolean) =>
    chains.some(({ value }) => asks(value.filter_chain_match));
  return Object.entries(inspectors)
    .filter(([name]) => namesIn(part).includes(name) && !namesIn(left).includes(name))
    .filter(([, asks]) => !isAskedFor(asks))
    .map(([name]) => name);
}

/** Without the last inspector there is nothing to wait for, so that the time to wait is 0. */
function withoutInspectors(value: Fields, left: Fields, needless: readonly string[]): Fields {
  if (needless.length === 0) return value;
  const kept = objectsIn(value.listener_filters).filter(
    ({ name }) => !needless.includes(String(name)),
  );
  const { listener_filters: _, listener_filters_timeout: timeout, ...rest } = value;
  const isOver = left.listener_filters_timeout === '0s' || kept.length === 0;
  return {
    ...rest,
    ...(kept.length > 0 && { listener_filters: kept }),
    listener_filters_timeout: isOver ? left.listener_filters_timeout : timeout,
  };
}

/** The difference in a line, for people: values are cut short. */
export function textOf({ part, path, full, narrowed }: Difference): string {
  if (path === '' && narrowed === undefined) return `${part}: missing when narrowed`;
  if (path === '' && full === undefined) return `${part}: only there when narrowed`;
  return `${part} > ${path}: ${short(full)} with full configuration, ${short(narrowed)} narrowed`;
}

/** Characters of a value in a line. */
const valueMax = 120;

function short(value: Json): string {
  if (value === undefined) return 'nothing';
  const text = canonical(value);
  return text.length > valueMax ? `${text.slice(0, valueMax)}...` : text;
}
