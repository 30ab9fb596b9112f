/**
 * Counts in 16 bits: exact below 2,048, above that with 11 significant bits, so with an error of
 * at most 1/2,048. The largest is 2,047 × 2^31, about 4.4 × 10^12; more is stored as that.
 */

const mantissaBits = 11;
const exact = 2 ** mantissaBits;
const codeMax = 0xffff;

export function encode(count: number): number {
  if (!(count > 0)) return 0;
  let exponent = 0;
  let mantissa = Math.round(count);
  if (mantissa >= exact) {
    exponent = Math.floor(Math.log2(count)) - mantissaBits + 1;
    mantissa = Math.round(count / 2 ** exponent);
    // Rounded up to the next power of two.
    if (mantissa === exact) {
      mantissa /= 2;
      exponent += 1;
    }
  }
  return exponent > 31 ? codeMax : (exponent << mantissaBits) | mantissa;
}

export function decode(code: number): number {
  return (code & (exact - 1)) * 2 ** (code >>> mantissaBits);
}
