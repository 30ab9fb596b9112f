import { stringify } from 'yaml';

/**
 * YAML that contains instructions of Go's template language. A template object is a tree of these
 * values, so that a generator can edit an object by path and print it afterwards.
 */
export type Node = Scalar | Text | Lines | When | Node[] | { [key: string]: Node };
type Scalar = string | number | boolean | null;

/** The text of a value in one line, such as `{{ .Values.replicas }}`. */
export type Text = { readonly [text]: string };
/** Complete lines in the place of an item of a list, such as a `range`. */
export type Lines = { readonly [lines]: string[] };
/** A value of a key, or an item of a list, that is present only under a condition. */
export type When = { readonly [when]: string; readonly value: Node };

const text = Symbol('text');
const lines = Symbol('lines');
const when = Symbol('when');

export const asText = (value: string): Text => ({ [text]: value });
export const asLines = (value: string[]): Lines => ({ [lines]: value });
/** `condition` is the whole instruction, for example `if .Values.bypass.enabled`. */
export const only = (condition: string, value: Node): When => ({ [when]: condition, value });

const isText = (node: Node): node is Text => isTagged(node, text);
const isLines = (node: Node): node is Lines => isTagged(node, lines);
const isWhen = (node: Node): node is When => isTagged(node, when);
const isTagged = (node: Node, tag: symbol) =>
  typeof node === 'object' && node !== null && tag in node;

export type Mapping = { [key: string]: Node };
export const isMapping = (node: Node | undefined): node is Mapping =>
  typeof node === 'object' &&
  node !== null &&
  !Array.isArray(node) &&
  !isText(node) &&
  !isLines(node) &&
  !isWhen(node);

/** The same tree with each text of the manifests replaced by what `change` returns for it. */
export function mapTexts(node: Node, change: (value: string) => Node): Node {
  if (typeof node === 'string') return change(node);
  if (Array.isArray(node)) return node.map((each) => mapTexts(each, change));
  if (isText(node) || isLines(node) || typeof node !== 'object' || node === null) return node;
  if (isWhen(node)) return only(node[when], mapTexts(node.value, change));
  const entries = Object.entries(node as Mapping);
  return Object.fromEntries(entries.map(([key, each]) => [key, mapTexts(each, change)]));
}

/** The YAML of an object, with its template instructions. */
export function emit(object: Mapping): string {
  return `${mapping(object).join('\n')}\n`;
}

const indent = (block: string[], first: string) =>
  block.map((line, at) => (at === 0 ? first : ' '.repeat(first.length)) + line);

function wrap(condition: string, block: string[]): string[] {
  return [`{{- ${condition} }}`, ...block, '{{- end }}'];
}

function mapping(object: Mapping): string[] {
  return Object.entries(object).flatMap(([key, node]) => {
    if (!isWhen(node)) return entry(key, node);
    return wrap(node[when], entry(key, node.value));
  });
}

function entry(key: string, node: Node): string[] {
  const name = scalar(key);
  if (isInline(node)) return [`${name}: ${inline(node)}`];
  // Items of a list are indented, so that an instruction around an item stays readable.
  return [`${name}:`, ...block(node).map((line) => `  ${line}`)];
}

const block = (node: Node): string[] =>
  Array.isArray(node) ? list(node) : mapping(node as Mapping);

function list(items: Node[]): string[] {
  return items.flatMap((node) => {
    if (isLines(node)) return node[lines];
    if (isWhen(node)) return wrap(node[when], item(node.value));
    return item(node);
  });
}

const item = (node: Node): string[] =>
  isInline(node) ? [`- ${inline(node)}`] : indent(block(node), '- ');

const isInline = (node: Node): boolean =>
  isText(node) || !(isMapping(node) || Array.isArray(node)) || Object.keys(node).length === 0;

function inline(node: Node): string {
  if (isText(node)) return node[text];
  if (Array.isArray(node)) return '[]';
  if (isMapping(node)) return '{}';
  return scalar(node as Scalar);
}

/** A scalar in one line. Braces of the manifests are no instructions for Helm. */
function scalar(value: Scalar): string {
  const options = {
    ...{ lineWidth: 0, blockQuote: false },
    doubleQuotedMinMultiLineLength: Number.POSITIVE_INFINITY,
  } as const;
  const plain = stringify(value, options).trimEnd();
  return plain.replaceAll(/\{\{|\}\}/g, (braces) => `{{ "${braces}" }}`);
}
