import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { addresses } from '../../box/bypass/pods.ts';
import { type Sidecars, services, startSidecars } from '../../box/bypass/sidecars.ts';
import { nginxConfiguration } from './nginx-config.ts';
import { useRig } from './rig.ts';

// A program that calls FIONREAD, with long bodies, behind sidecars.

const rig = useRig();
const size = 8 << 20;
let folder: string;
let sidecars: Sidecars;
let nginx: ChildProcessWithoutNullStreams;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lazyscope-nginx-'));
  writeFileSync(join(folder, 'big'), Buffer.alloc(size, 'x'));
  const ports = { port: services.http.local, inner: services.http.local + 1000 };
  writeFileSync(join(folder, 'nginx.conf'), nginxConfiguration({ folder, ...ports }));
  sidecars = await startSidecars(rig.cgroup);
  nginx = sidecars.start(sidecars.server, ['nginx', '-p', folder, '-c', 'nginx.conf']);
});
afterAll(async () => {
  // SIGKILL would leave the worker of nginx behind.
  nginx.kill('SIGTERM');
  if (nginx.exitCode === null) await once(nginx, 'close');
  await sidecars.stop();
  rmSync(folder, { recursive: true });
});

async function curl(path: string, ...options: string[]) {
  const write = ['-s', '-m', '20', '-o', '/dev/null', '-w', '%{http_code} %{size_download}'];
  const url = `http://${addresses[1]}:${services.http.port}${path}`;
  return text(sidecars.start(sidecars.client, ['curl', ...write, ...options, url]).stdout);
}

test('nginx behind sidecars receives and sends long bodies', async () => {
  const kept = { streamSeconds: 0 };
  const loader = await rig.accelerate(kept);
  while ((await curl('/big')) !== `200 ${size}`) await new Promise((done) => setTimeout(done, 100));
  await Promise.all([sidecars.client, sidecars.server].map(sidecars.restartEnvoy));
  const body = ['--data-binary', `@${join(folder, 'big')}`, '-H', 'Expect:'];
  for (let i = 0; i < 10; i++) {
    expect(await curl('/big')).toBe(`200 ${size}`);
    expect(await curl('/up', ...body)).toBe(`200 ${size}`);
  }
  for (const [hop, { redirectedBytes }] of Object.entries((await loader.stats()).hops))
    expect({ hop, some: redirectedBytes > size }).toEqual({ hop, some: true });
  await Promise.all([sidecars.client, sidecars.server].map(sidecars.restartEnvoy));
});
