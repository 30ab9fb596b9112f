import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startAgent } from '../../box/bypass/agent.ts';
import { nodeObject, podObject, useNodeAgent } from './node-agent.ts';
import { showReads } from './rig.ts';

const agent = useNodeAgent();

test('the bypass serves a labelled node and pod after a self-test, and releases them when the label goes', async () => {
  agent.start();
  agent.tell(nodeObject({ 'lazyscope.io/bypass': 'enabled' }));
  const ready = await agent.state(/^ready$/);
  const report = JSON.parse(ready['lazyscope.io/bypass-report'] ?? '');
  expect(new Set(Object.values(report.selftest))).toEqual(new Set(['ok']));
  expect(Object.keys(report.selftest)).toContain('partialSend');
  expect(readFileSync(join(agent.folder, 'features'), 'utf8')).toContain(
    'lazyscope.io/bypass-capable=true\n',
  );

  agent.tell(podObject);
  await agent.state(/^active \(1 pod\)$/);
  const app = await startAgent(agent.pod);
  await showReads(app);
  const { client, server } = await app.do('pair', { answered: true });
  await app.do('send', { id: client, text: 'hello' });
  await app.do('receive', { id: server, size: 5 });
  // The companion updates its figures in the next round.
  agent.tell({ ...podObject, metadata: { ...podObject.metadata, labels: { changed: 'yes' } } });
  await new Promise((resolve) => setTimeout(resolve, 300));
  const text = await agent.metrics();
  expect(text).toContain('lazyscope_bypass_state{state="active"} 1');
  expect(text).toContain('lazyscope_bypass_connections 1');
  expect(text).toContain('lazyscope_bypass_bytes_total{hop="other",path="socket"} 5');
  await app.stop();

  agent.tell(nodeObject({}));
  expect(await agent.state(/^off/)).toMatchObject({
    'lazyscope.io/bypass-state': 'off (the node is not labelled)',
  });
});

test('the companion restarts a killed loader', async () => {
  agent.start();
  agent.tell(nodeObject({ 'lazyscope.io/bypass': 'enabled' }));
  agent.tell(podObject);
  await agent.state(/^active/);
  process.kill(agent.loaderPid(), 'SIGKILL');
  const again = [
    'lazyscope_bypass_loader_ends_total 1',
    'lazyscope_bypass_state{state="active"} 1',
  ];
  for (;;) {
    const text = await agent.metrics();
    if (again.every((line) => text.includes(line))) break;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  expect(agent.loaderPid()).toBeGreaterThan(0);
});

test('the companion refuses a wrong loader and reports the reason on the Node and as an Event', async () => {
  const fake = join(agent.folder, 'loader');
  const answer = '{"ok":false,"cmd":"probe","reason":"no permission","error":"EPERM"}';
  writeFileSync(fake, `#!/bin/sh\nread line\necho '${answer}'\nread line\n`, { mode: 0o755 });
  agent.start(fake);
  agent.tell(nodeObject({ 'lazyscope.io/bypass': 'enabled' }));
  await agent.state(/^refused \(probe: no permission \(EPERM\)\)$/);
  const event = agent.lines.find((line) => line.startsWith('{"created"'));
  expect(JSON.parse(event ?? '{}').created).toMatchObject({ reason: 'BypassRefused' });
});
