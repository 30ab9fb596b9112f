/**
 * One string for equal texts. Names of hosts and of clusters come again and again in parsed
 * messages, each time as another string: 60,000 edges of 10,000 hosts would keep each name six
 * times in four tables (40 MB).
 */

/**
 * Texts of one generation; there are two. A mesh of 10,000 services has about three texts for each.
 * At 100 bytes each, both generations take 10 MB at most.
 */
const generationMax = 50_000;
/** Longer texts are rare, and not names. */
const lengthMax = 300;

export function createSharedTexts(max = generationMax): (text: string) => string {
  let young = new Map<string, string>();
  let old = new Map<string, string>();
  return (text) => {
    if (text.length > lengthMax) return text;
    const known = young.get(text);
    if (known !== undefined) return known;
    const kept = old.get(text) ?? text;
    // What nobody has asked for since the last change of generations goes.
    if (young.size >= max) {
      old = young;
      young = new Map();
    }
    young.set(kept, kept);
    return kept;
  };
}

/** The texts of this process; a text that is forgotten is only kept twice. */
export const sharedText = createSharedTexts();
