import { asText, isMapping, type Mapping, type Node, only } from './emit.ts';

/** A place in an object: keys of mappings and indexes of lists. */
export type Path = readonly (string | number)[];

/** The value at a path. Throws if the manifests do not have it, because the edit has no effect. */
export function at(object: Mapping, path: Path): Node {
  let node: Node | undefined = object;
  for (const step of path) node = node === undefined ? undefined : below(node, step);
  if (node === undefined) throw new Error(`${nameOf(object)} has no ${path.join('.')}`);
  return node;
}

function below(node: Node, step: string | number): Node | undefined {
  if (Array.isArray(node)) return node[Number(step)];
  return isMapping(node) ? (node as Mapping)[step] : undefined;
}

export const nameOf = (object: Mapping): string =>
  `${String(object.kind)} ${String((object.metadata as Mapping | undefined)?.name)}`;

function parentOf(object: Mapping, path: Path): Mapping {
  const parent = at(object, path.slice(0, -1));
  // An index of a list is a key of an array, too.
  if (isMapping(parent) || Array.isArray(parent)) return parent as Mapping;
  throw new Error(`${nameOf(object)} has no keys at ${path.slice(0, -1).join('.')}`);
}

/** Replaces the value at a path, and returns the value of the manifests. */
export function replace(object: Mapping, path: Path, value: Node): Node {
  const before = at(object, path);
  parentOf(object, path)[String(path.at(-1))] = value;
  return before;
}

/** Adds a key that the manifests do not have. */
export function add(object: Mapping, path: Path, value: Node): void {
  const parent = parentOf(object, path);
  const key = String(path.at(-1));
  if (key in parent) throw new Error(`${nameOf(object)} already has ${path.join('.')}`);
  parent[key] = value;
}

/** Adds an item to the end of a list. */
export function append(object: Mapping, path: Path, value: Node): void {
  const list = at(object, path);
  if (!Array.isArray(list)) throw new Error(`${nameOf(object)}: ${path.join('.')} is no list`);
  list.push(value);
}

/** A key that is present only if the value of the chart is not empty. */
export const ifSet = (value: string): Node =>
  only(`with .Values.${value}`, asText('{{ toJson . }}'));

/** What a component adds to an object: the place, and the value there. */
type Addition = { path: Path; value: Node };

/**
 * Everything that `more` has and `base` lacks: further keys of a mapping, and further items at the
 * end of a list. Throws for any other difference, because a chart cannot express it.
 */
export function additions(base: Node, more: Node, path: Path = []): Addition[] {
  const added = (key: string | number, known: Node | undefined, value: Node): Addition[] =>
    known === undefined
      ? [{ path: [...path, key], value }]
      : additions(known, value, [...path, key]);
  if (Array.isArray(base) && Array.isArray(more) && more.length >= base.length)
    return more.flatMap((value, index) => added(index, base[index], value));
  if (isMapping(base) && isMapping(more)) {
    const lost = Object.keys(base).find((key) => !(key in more));
    if (lost !== undefined) throw new Error(`a component removes ${[...path, lost].join('.')}`);
    return Object.entries(more).flatMap(([key, value]) =>
      added(key, (base as Mapping)[key], value),
    );
  }
  if (base !== more) throw new Error(`a component changes ${path.join('.')}`);
  return [];
}

/** Adds what a component adds, under a condition such as `if .Values.onRestart.enabled`. */
export function addIf(object: Mapping, condition: string, added: readonly Addition[]): void {
  for (const { path, value } of added) {
    const parent = path.slice(0, -1);
    if (Array.isArray(at(object, parent))) append(object, parent, only(condition, value));
    else add(object, path, only(condition, value));
  }
}
