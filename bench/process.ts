import { readdir, readFile, writeFile } from 'node:fs/promises';

/**
 * The kernel's figures of a process (proc_pid_status(5), Documentation/scheduler/sched-stats.rst).
 */

/** CPU seconds of all live threads, in nanosecond resolution; ended threads do not count. */
export async function cpuSeconds(pid: number): Promise<number> {
  const tasks = await readdir(`/proc/${pid}/task`);
  const times = await Promise.all(
    tasks.map(async (task) => {
      const text = await readFile(`/proc/${pid}/task/${task}/schedstat`, 'utf8');
      return Number(text.split(' ')[0]);
    }),
  );
  return times.reduce((sum, time) => sum + time, 0) / 1e9;
}

/** Resident memory in bytes: now, and the most since the start or since `resetPeak`. */
export async function residentBytes(pid: number): Promise<{ now: number; peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) =>
    1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
  return { now: field('VmRSS'), peak: field('VmHWM') };
}

export async function resetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5');
}
