import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';

const dir = mkdtempSync(join(tmpdir(), 'lazyscope-daemon-'));
vi.stubEnv('LAZYSCOPE_MESH_DIR', dir);
const { startDaemon, waitReady } = await import('../../../box/cluster/daemon.ts');

afterAll(() => rmSync(dir, { recursive: true }));

test('a component that ends before it is ready fails the start with its last log lines', async () => {
  const daemon = startDaemon('broken', 'bash', ['-c', 'echo the disk is full; exit 3']);
  await expect(waitReady('broken', async () => false, [daemon])).rejects.toThrow(
    /broken ended \(exit code 3\); its last log lines:\nthe disk is full/,
  );
});

test('a component whose program is missing fails the start with the name of the program', async () => {
  const daemon = startDaemon('absent', '/no/such/program', []);
  await expect(waitReady('absent', async () => false, [daemon])).rejects.toThrow(
    /absent did not start: .*ENOENT/,
  );
});

test('a component that never gets ready is reported with the reason and its log', async () => {
  const daemon = startDaemon('slow', 'bash', ['-c', 'echo waiting for a lock; exec sleep 60']);
  const check = async () => {
    throw new Error('connection refused');
  };
  try {
    await expect(waitReady('slow', check, [daemon], 1)).rejects.toThrow(
      /slow is not ready after 1 s: connection refused\n--- slow\nwaiting for a lock/,
    );
  } finally {
    daemon.end();
  }
});
