/**
 * A 32-bit digest of a text, for equality and spreading: FNV-1a
 * (http://www.isthe.com/chongo/tech/comp/fnv/), whose bits the finalizer of MurmurHash3 mixes. It
 * is no protection against somebody who chooses the text.
 */
export function textDigest(text: string, seed = 0x811c9dc5): number {
  let digest = seed;
  for (let at = 0; at < text.length; at++) {
    digest = Math.imul(digest ^ text.charCodeAt(at), 0x01000193);
  }
  digest = Math.imul(digest ^ (digest >>> 16), 0x85ebca6b);
  digest = Math.imul(digest ^ (digest >>> 13), 0xc2b2ae35);
  return (digest ^ (digest >>> 16)) >>> 0;
}
