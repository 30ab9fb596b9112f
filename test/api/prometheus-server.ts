import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, vi } from 'vitest';
import { freePort } from '../../box/api/free-port.ts';
import { ensurePrometheus } from '../../box/artifacts/binaries.ts';
import { run } from '../../box/run.ts';

/** A real Prometheus with samples of the past. */
export type PrometheusServer = { url: string; folder: string; stop(): Promise<void> };

/** `metrics`: families as OpenMetrics, each with its `# TYPE` line. */
export async function startPrometheus(metrics: readonly string[]): Promise<PrometheusServer> {
  const { promtool, prometheus } = await ensurePrometheus(console.error);
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-prometheus-'));
  await writeFile(join(folder, 'metrics'), [...metrics, '# EOF\n'].join('\n'));
  await writeFile(join(folder, 'prometheus.yml'), '');
  const data = join(folder, 'data');
  await run(promtool, [
    // It reads the whole file once for each block, which has two hours by default.
    ...['tsdb', 'create-blocks-from', '--max-block-duration=500h'],
    ...['openmetrics', join(folder, 'metrics'), data],
  ]);
  const port = await freePort();
  const server = spawn(
    prometheus,
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${data}`,
      '--storage.tsdb.retention.time=60d',
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=error',
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const url = `http://127.0.0.1:${port}`;
  await vi.waitFor(async () => expect((await fetch(`${url}/-/ready`)).ok).toBe(true), {
    ...{ timeout: 60_000, interval: 100 },
  });
  return {
    ...{ url, folder },
    async stop() {
      if (server.exitCode === null) {
        server.kill();
        await once(server, 'exit');
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
}
