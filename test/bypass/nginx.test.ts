import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { freePort } from '../../box/api/free-port.ts';
import { spawnIn } from '../../box/bypass/cgroup.ts';
import { nginxConfiguration } from './nginx-config.ts';
import { useRig } from './rig.ts';

// nginx calls FIONREAD before it continues to read, and waits forever if FIONREAD wrongly returns
// 0.

const rig = useRig();
const size = 8 << 20;

let folder: string;
let port: number;
let nginx: ChildProcessWithoutNullStreams;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lazyscope-nginx-'));
  port = await freePort();
  writeFileSync(join(folder, 'big'), Buffer.alloc(size, 'x'));
  writeFileSync(
    join(folder, 'nginx.conf'),
    nginxConfiguration({ folder, port, inner: await freePort() }),
  );
  nginx = spawnIn(rig.cgroup, ['nginx', '-p', folder, '-c', 'nginx.conf']);
  while ((await curl('/big')).size !== size) await new Promise((done) => setTimeout(done, 100));
});

afterEach(async () => {
  nginx.kill('SIGTERM');
  if (nginx.exitCode === null) await once(nginx, 'close');
  rmSync(folder, { recursive: true });
});

async function curl(path: string, ...options: string[]) {
  const url = `http://127.0.0.1:${port}${path}`;
  const write = ['-s', '-m', '10', '-o', '/dev/null', '-w', '{"size":%{size_download}}'];
  const child = spawnIn(rig.cgroup, ['curl', ...write, ...options, url]);
  const [out, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  return { code, size: JSON.parse(out || '{"size":0}').size as number };
}

for (const redirect of [true, false])
  test(`nginx answers and reads on ${redirect ? 'redirected sockets' : 'the stack, in the map'}`, async () => {
    // Long responses of nginx are streams of small writes. This test concerns sockets in the map,
    // so it does not leave streams alone.
    const kept = { streamSeconds: 0 };
    const loader = await rig.accelerate(kept);
    await curl('/big');
    await loader.policy({ ...kept, redirect });
    for (let i = 0; i < 10; i++) {
      expect(await curl('/big')).toEqual({ code: 0, size });
      const body = ['--data-binary', `@${join(folder, 'big')}`, '-H', 'Expect:'];
      expect(await curl('/up', ...body)).toEqual({ code: 0, size });
    }
    const { hops, counters } = await loader.stats();
    expect(counters.server_in).toBeGreaterThanOrEqual(20);
    const bytes = redirect ? hops.other.redirectedBytes : hops.other.stackBytes;
    expect(bytes).toBeGreaterThan(10 * size);
  });
