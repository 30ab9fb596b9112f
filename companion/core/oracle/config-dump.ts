/** The configuration of a proxy, as Envoy's admin interface answers to `/config_dump`. */

export type Json = unknown;
export type Fields = Record<string, Json>;
export type ConfigDump = { configs: readonly Json[] };

export function isObject(value: Json): value is Fields {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** The objects of a list; none where there is no list. */
export function objectsIn(list: Json): Fields[] {
  return Array.isArray(list) ? list.filter(isObject) : [];
}

/** Field after field; undefined where one of them is not there. */
export function at(value: Json, ...path: string[]): Json {
  return path.reduce<Json>((inner, field) => (isObject(inner) ? inner[field] : undefined), value);
}

export function nameOf(part: Json): string[] {
  return isObject(part) && typeof part.name === 'string' ? [part.name] : [];
}

/** What names a part to people: its own name, or its place in the list. */
export function labelOf(part: Json, index: number): string {
  if (!isObject(part)) return String(index);
  const [name] = [part, ...Object.values(part)].flatMap(nameOf);
  return name ?? String(index);
}

export function typeOf(section: Fields): string {
  return (
    String(section['@type'] ?? '')
      .split('.')
      .at(-1) ?? ''
  );
}

function listsOf(dump: ConfigDump, type: string, lists: readonly string[]): Fields[] {
  const sections = objectsIn(dump.configs).filter((section) => typeOf(section) === type);
  return lists.flatMap((list) => sections.flatMap((section) => objectsIn(section[list])));
}

/** Listeners that take connections, or will when they are warm; those of the bootstrap, too. */
export function listenersOf(dump: ConfigDump): Fields[] {
  const fixed = listsOf(dump, 'ListenersConfigDump', ['static_listeners']);
  const dynamic = listsOf(dump, 'ListenersConfigDump', ['dynamic_listeners']);
  const found = dynamic.map(
    (each) => at(each, 'active_state', 'listener') ?? at(each, 'warming_state', 'listener'),
  );
  return objectsIn([...fixed.map(({ listener }) => listener), ...found]);
}

/** Routes that listeners take by name; a listener holds all others itself. */
export function routeConfigsOf(dump: ConfigDump): Fields[] {
  const found = listsOf(dump, 'RoutesConfigDump', ['dynamic_route_configs']);
  return objectsIn(found.map((each) => each.route_config));
}

/** Clusters of a proxy, those of its bootstrap among them; of two with one name, the active one. */
export function clustersOf(dump: ConfigDump): Fields[] {
  const lists = ['dynamic_warming_clusters', 'dynamic_active_clusters', 'static_clusters'];
  const found = objectsIn(listsOf(dump, 'ClustersConfigDump', lists).map((each) => each.cluster));
  return [...new Map(found.map((cluster) => [String(cluster.name), cluster])).values()];
}

/** Filters that chains take by name. */
export function namedFiltersOf(dump: ConfigDump): Fields[] {
  return objectsIn(
    listsOf(dump, 'EcdsConfigDump', ['ecds_filters']).map((each) => each.ecds_filter),
  );
}

/** Throws for a text that is not the answer to `/config_dump`. */
export function readConfigDump(text: string): ConfigDump {
  const dump: unknown = JSON.parse(text);
  if (!isObject(dump) || !Array.isArray(dump.configs)) throw new Error('it has no list configs');
  return { configs: dump.configs };
}
