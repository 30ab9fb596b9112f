/** A number with its noun: `1 host`, `2 hosts`, `2 proxies`, `0 entries`, `3 pushes`. */
export function counted(count: number, noun: string): string {
  if (count === 1) return `1 ${noun}`;
  if (/(s|x|z|ch|sh)$/.test(noun)) return `${count} ${noun}es`;
  // A consonant before the y.
  return `${count} ${/[^aeiou]y$/.test(noun) ? `${noun.slice(0, -1)}ie` : noun}s`;
}
