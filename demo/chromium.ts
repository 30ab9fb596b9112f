import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Debian's browser, from the package `chromium`. */
export function chromiumPath(): string | undefined {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'chromium'))
    .find((path) => existsSync(path));
}

/** What is missing for the tests of the page, as a sentence with its remedy. */
export function missingForConsole(): string[] {
  return chromiumPath() ? [] : ['missing packages: apt-get install -y chromium'];
}
