import { sentinelHost } from '../scope/sentinel.ts';
import {
  type ConfigDump,
  clustersOf,
  isObject,
  type Json,
  labelOf,
  nameOf,
  objectsIn,
  typeOf,
} from './config-dump.ts';

/**
 * The oracle of narrowing: in the configuration of a proxy, every cluster that anything refers to
 * is there. Input is what Envoy's admin interface answers to `/config_dump`.
 */

export type Dangling = {
  /** Name of a cluster that the proxy does not have. */
  cluster: string;
  /** Where the name stands, from the section of the dump inwards. */
  place: string;
};

/** Fields of Envoy's API whose value is the name of a cluster, or a list of them. */
const clusterFields = new Set([
  'cluster',
  'cluster_name',
  'cluster_names',
  'collector_cluster',
  'tcp_cluster_name',
  'upstream_cluster',
]);

/** Lists of parts that are clusters by name: weighted ones, and those of an aggregate. */
const listFields = new Set(['clusters']);

/**
 * Subtrees that name no cluster which this proxy needs: who the proxy is, the endpoints of a
 * cluster under its own name, notes for others, listeners that take no connection any more, and
 * what Envoy refused.
 */
const otherMeanings = new Set([
  'node',
  'load_assignment',
  'metadata',
  'filter_metadata',
  'draining_state',
  'error_state',
]);

/** Texts that are like the name of a cluster, and stand for something else. */
const otherTexts = new Set(['name', 'stat_prefix', 'alt_stat_name', 'service_name', 'sni']);

/** Sections of the dump that hold no references: endpoints repeat names of clusters. */
const silentSections = new Set(['EndpointsConfigDump', 'SecretsConfigDump']);

/** References to clusters that are not there, each cluster and place once, in the dump's order. */
export function danglingClusters(dump: ConfigDump): Dangling[] {
  const there = clusterNames(dump);
  const found = new Map<string, Dangling>();
  for (const [cluster, place] of references(dump)) {
    // Nobody calls the sentinel: manifests/namespace takes its clusters out on purpose.
    if (cluster === '' || there.has(cluster) || cluster.endsWith(`|${sentinelHost}`)) continue;
    found.set(`${place} ${cluster}`, { cluster, place });
  }
  return [...found.values()];
}

/** Names of the clusters that a proxy has, those of its bootstrap among them. */
export function clusterNames(dump: ConfigDump): Set<string> {
  return new Set(clustersOf(dump).flatMap(nameOf));
}

function* references(dump: ConfigDump): Generator<[string, string]> {
  for (const section of objectsIn(dump.configs)) {
    if (silentSections.has(typeOf(section))) continue;
    yield* referencesIn(section, [typeOf(section)]);
  }
}

function* referencesIn(value: Json, path: readonly string[]): Generator<[string, string]> {
  if (Array.isArray(value)) {
    for (const [index, each] of value.entries())
      yield* referencesIn(each, [...path.slice(0, -1), `${path.at(-1)}[${labelOf(each, index)}]`]);
    return;
  }
  if (!isObject(value)) return;
  for (const [field, inner] of Object.entries(value)) {
    if (otherMeanings.has(field)) continue;
    const here = [...path, field];
    for (const cluster of namesIn(field, inner)) yield [cluster, here.join(' > ')];
    yield* referencesIn(inner, here);
  }
}

/** Clusters that a field names: by its meaning, or in a text such as a program. */
function namesIn(field: string, value: Json): string[] {
  if (clusterFields.has(field)) return textsIn(value);
  if (listFields.has(field)) {
    const list = Array.isArray(value) ? value : [];
    return list.flatMap((each) => (typeof each === 'string' ? each : nameOf(each)));
  }
  if (typeof value !== 'string' || otherTexts.has(field)) return [];
  return value.match(/\boutbound\|\d{1,5}\|[^|"'\\\s]*\|[a-z0-9.*-]+/gi) ?? [];
}

function textsIn(value: Json): string[] {
  return [value].flat().filter((each): each is string => typeof each === 'string');
}
