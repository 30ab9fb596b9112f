import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { startAdmin } from '../../../../companion/frame/admin.ts';
import { createLifecycle } from '../../../../companion/frame/lifecycle.ts';
import { createLog } from '../../../../companion/frame/log.ts';
import { createRegistry } from '../../../../companion/frame/metrics.ts';
import { createNodeMetrics } from '../../../../companion/node/metrics.ts';

const log = createLog('test', 'silent');
const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function start() {
  const lifecycle = createLifecycle({ log, deadlineMs: 1000 });
  const registry = createRegistry('1.2.3', 'node');
  const debug = new Map<string, () => unknown>();
  const server = await startAdmin({ log, lifecycle, registry, debug }, 0);
  closers.push(() => server.close());
  const { port } = server.server.address() as AddressInfo;
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return { status: response.status, text: await response.text() };
  };
  return { lifecycle, registry, debug, port, get };
}

describe('the admin port', () => {
  it('is alive while it is not ready, and names the missing parts', async () => {
    const { lifecycle, get } = await start();
    const done = lifecycle.registerTask('pods of this node');
    expect(await get('/livez')).toEqual({ status: 200, text: 'ok\n' });
    expect(await get('/readyz')).toEqual({ status: 503, text: 'waiting for: pods of this node\n' });
    done();
    expect(await get('/readyz')).toEqual({ status: 200, text: 'ok\n' });
  });

  it('shows every declared metric, all named lazyscope_*', async () => {
    const { registry, get } = await start();
    createNodeMetrics(registry).refused.inc({ path: 'report', reason: 'test' });
    const { text } = await get('/metrics');
    const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
    expect(names.filter((name) => !name?.startsWith('lazyscope_'))).toEqual([]);
    expect(text).toContain('lazyscope_build_info{version="1.2.3",role="node"} 1');
    expect(text).toContain('lazyscope_node_refused_total{path="report",reason="test"} 1');
  });

  it('lists the existing debug views if asked for another', async () => {
    const { debug, get } = await start();
    debug.set('proxies', () => [{ pod: 'a' }]);
    expect(await get('/debug/proxies')).toEqual({ status: 200, text: '[{"pod":"a"}]' });
    expect(await get('/debug/x')).toEqual({
      status: 404,
      text: 'no such view; there are: proxies\n',
    });
  });

  it('fails loudly when its port is taken', async () => {
    const { port, lifecycle, registry, debug } = await start();
    await expect(startAdmin({ log, lifecycle, registry, debug }, port)).rejects.toThrow(
      'EADDRINUSE',
    );
  });
});
