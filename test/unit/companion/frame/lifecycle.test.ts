import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createLifecycle } from '../../../../companion/frame/lifecycle.ts';
import { createLog } from '../../../../companion/frame/log.ts';

const log = createLog('test', 'silent');

describe('readiness', () => {
  it('names the tasks that are left, and is ready when none is left', () => {
    const lifecycle = createLifecycle({ log, deadlineMs: 1000 });
    const pods = lifecycle.registerTask('pods');
    const port = lifecycle.registerTask('port');
    expect(lifecycle.ready()).toEqual(['pods', 'port']);
    pods();
    pods();
    expect(lifecycle.ready()).toEqual(['port']);
    port();
    expect(lifecycle.ready()).toEqual([]);
  });

  it('refuses a name that is registered already', () => {
    const lifecycle = createLifecycle({ log, deadlineMs: 1000 });
    lifecycle.registerTask('pods');
    expect(() => lifecycle.registerTask('pods')).toThrow('"pods" is registered already');
  });

  it('ends when the process stops', async () => {
    const lifecycle = createLifecycle({ log, deadlineMs: 1000 });
    await lifecycle.stop('test');
    expect(lifecycle.ready()).toEqual(['stopping']);
  });
});

describe('stop', () => {
  it('runs hooks one after the other, the last registered first', async () => {
    const lifecycle = createLifecycle({ log, deadlineMs: 10_000 });
    const order: string[] = [];
    lifecycle.onStop('server', async () => {
      order.push('server');
    });
    lifecycle.onStop('client', async () => {
      await sleep(20);
      order.push('client');
    });
    expect(await lifecycle.stop('test')).toBe(true);
    expect(order).toEqual(['client', 'server']);
  });

  it('continues after a hook that fails, and reports that the stop was not clean', async () => {
    const lifecycle = createLifecycle({ log, deadlineMs: 10_000 });
    let stopped = false;
    lifecycle.onStop('first', () => {
      stopped = true;
    });
    lifecycle.onStop('second', () => {
      throw new Error('no');
    });
    expect(await lifecycle.stop('test')).toBe(false);
    expect(stopped).toBe(true);
  });

  it('gives up at the deadline when a hook hangs', async () => {
    const lifecycle = createLifecycle({ log, deadlineMs: 30 });
    lifecycle.onStop('hangs', () => new Promise(() => undefined));
    expect(await lifecycle.stop('test')).toBe(false);
  });

  it('happens once, even if requested several times', async () => {
    const lifecycle = createLifecycle({ log, deadlineMs: 1000 });
    let runs = 0;
    lifecycle.onStop('counts', () => {
      runs += 1;
    });
    await Promise.all([lifecycle.stop('one'), lifecycle.stop('two')]);
    expect(runs).toBe(1);
  });
});
