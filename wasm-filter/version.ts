/**
 * The package's version as one number, `major << 16 | minor << 8 | patch`; a test compares it with
 * package.json.
 */
export const VERSION: u32 = (0 << 16) | (1 << 8) | 0;
