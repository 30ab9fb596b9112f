import { chmod, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repoDir } from '../../box/paths.ts';
import { run } from '../../box/run.ts';

/**
 * A folder in which a test runs the commands of a document as a user does in a checkout: with
 * copies of files of this repository, and with programs of its own under the names that the
 * commands use. A program is the body of a shell script.
 */
export async function openUserShell(
  programs: Readonly<Record<string, string>>,
  files: readonly string[],
  env: NodeJS.ProcessEnv = {},
) {
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-user-'));
  await mkdir(join(folder, 'bin'));
  for (const [name, body] of Object.entries(programs)) {
    await writeFile(join(folder, 'bin', name), `#!/bin/sh\n${body}\n`);
    await chmod(join(folder, 'bin', name), 0o755);
  }
  for (const path of files) await cp(join(repoDir, path), join(folder, path), { recursive: true });
  const PATH = `${join(folder, 'bin')}:${process.env.PATH}`;
  return {
    folder,
    /** Runs a command line; returns what it prints. */
    sh: (command: string) =>
      run('sh', ['-c', command], { cwd: folder, env: { ...process.env, PATH, ...env } }),
    close: () => rm(folder, { recursive: true, force: true }),
  };
}
