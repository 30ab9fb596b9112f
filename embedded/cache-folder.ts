import { homedir } from 'node:os';
import { join } from 'node:path';

/** Folder for files that are expensive to download or build, by pinned version; safe to delete. */
export function cacheFolder(): string {
  const { LAZYSCOPE_CACHE, XDG_CACHE_HOME } = process.env;
  return LAZYSCOPE_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'lazyscope');
}
