/**
 * What Lazyscope learns the destinations of a proxy from: the Wasm filter in it, or its access log,
 * which Envoy sends to the node companion (docs/access-log.md).
 */
export type LearningSource = 'wasm' | 'access-log';

/** Label of a namespace; without it the source is `wasm`. */
export const sourceLabel = 'lazyscope.io/source';

export const sources: readonly LearningSource[] = ['wasm', 'access-log'];

/** Undefined if the value is not a source. */
export function parseSource(text: string | undefined): LearningSource | undefined {
  return text === undefined ? 'wasm' : sources.find((source) => source === text);
}

/**
 * The source that a label asks for. A value that is not in `sources` is a mistake and changes
 * nothing: `last`, the previous source, stays. Undefined if there was none: then either source
 * counts, so that a mistake withdraws no scope.
 */
export function sourceInForce(
  text: string | undefined,
  last: LearningSource | undefined,
): LearningSource | undefined {
  return parseSource(text) ?? last;
}
