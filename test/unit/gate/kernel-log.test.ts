import { expect, test } from 'vitest';
import { bugLines } from '../../../box/bypass/leftovers.ts';

const memory = [
  '[ 8055.722284] pilot-agent invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0',
  '[ 8055.722322] CPU: 0 UID: 1337 PID: 11149 Comm: pilot-agent Not tainted 6.18.44 #1',
  '[ 8055.722342] Call Trace:',
  '[ 8055.723154]  <TASK>',
  '[ 8055.724963] Memory cgroup out of memory: Killed process 9597 (envoy)',
];
const bug = [
  '[ 9000.000001] WARNING: CPU: 1 PID: 12 at net/core/skmsg.c:777 sk_psock_destroy+0x1/0x2',
  '[ 9000.000002] Call Trace:',
];

test('a container that exceeds its memory is no bug of the kernel', () => {
  expect(bugLines(memory.join('\n'))).toEqual([]);
});

test('a warning and its call trace are bugs, also right after a container exceeded its memory', () => {
  expect(bugLines([...memory, ...bug].join('\n'))).toEqual(bug);
});
