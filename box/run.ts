import { spawn } from 'node:child_process';

export type RunOptions = {
  input?: string;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Receives stderr while the command runs. */
  onStderr?: (text: string) => void;
};

/** The output of a finished command. */
export type RunResult = { code: number; stdout: string; stderr: string };

/** The most output kept of a command: a config dump of 5,000 services is about 65 MB. */
const outputBytesMax = 512 * 1024 * 1024;

/** Runs a command to its end and returns what it printed, whatever its exit code. */
export function runResult(
  command: string,
  args: string[],
  options: RunOptions = {},
): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: options.env ?? process.env,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    let bytes = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > outputBytesMax) child.kill('SIGKILL');
      else out.push(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      err.push(chunk);
      options.onStderr?.(chunk.toString());
    });
    child.on('error', (error) => reject(new Error(`${command} did not start: ${error.message}`)));
    child.on('close', (code, signal) => {
      const stderr = Buffer.concat(err).toString();
      resolve({
        code: code ?? 1,
        stdout: Buffer.concat(out).toString(),
        stderr: signal === null ? stderr : `${stderr}\nended by ${signal}`,
      });
    });
    // A command that ends without reading its input closes the pipe, which is no error.
    child.stdin.on('error', () => {});
    child.stdin.end(options.input ?? '');
  });
}

/** Runs a command that must succeed; its error carries the last lines it printed. */
export async function run(
  command: string,
  args: string[],
  options: RunOptions = {},
): Promise<string> {
  const result = await runResult(command, args, options);
  if (result.code !== 0) {
    const shown = [command, ...args].join(' ').slice(0, 300);
    const lines = lastLines(result.stderr || result.stdout, 20);
    throw new Error(`${shown}\nexited with ${result.code}:\n${lines}`);
  }
  return result.stdout;
}

export function lastLines(text: string, count: number): string {
  return text.trimEnd().split('\n').slice(-count).join('\n');
}
