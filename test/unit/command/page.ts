import { once } from 'node:events';
import { connect } from 'node:net';
import { Registry } from 'prom-client';
import { afterEach, expect } from 'vitest';
import type { Cluster } from '../../../command/frame/cluster.ts';
import { CommandError } from '../../../command/frame/failure.ts';
import { controllerServerName } from '../../../companion/contract/rpc.ts';
import { createAccessCheck } from '../../../companion/controller/console/access.ts';
import { createNodesKnown } from '../../../companion/controller/console/nodes-known.ts';
import { startConsole } from '../../../companion/controller/console/server.ts';
import { createControllerMetrics } from '../../../companion/controller/metrics.ts';
import { selfSigned } from '../../../companion/controller/nodes/x509.ts';
import { createState } from '../../../companion/controller/state/state.ts';
import { createHistory } from '../../../companion/core/history/history.ts';
import { pod } from '../companion/core/objects.ts';
import { objectCluster } from './host.ts';

/** The real server of the page, with its TLS; only the port-forward is a plain connection. */

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

export const now = Date.parse('2026-11-28T12:00:00Z');
const minute = 60_000;
export const cart = 'shop/cart.shop.svc.cluster.local';

export async function serve() {
  const keys = selfSigned(controllerServerName, new Date(Date.now() - minute), 1);
  const metrics = createControllerMetrics(new Registry());
  const state = createState({ clusterDomain: 'cluster.local', namespace: 'lazyscope-system' });
  const history = createHistory(now - 60 * minute);
  const web = { namespace: 'shop', workload: 'web', host: cart };
  history.edges.add(web, now - minute / 2, 600);
  history.edges.add({ ...web, namespace: 'billing', workload: 'ledger' }, now - minute / 2, 60);
  const told = { ...web, detail: 'gateway' };
  history.changes.add({ ...told, at: now - 30 * minute, kind: 'first-call' });
  for (const detail of ['gateway', 'gateway', 'hold'])
    history.changes.add({ ...told, detail, at: now - 2 * minute, kind: 'first-call' });
  history.changes.add({ ...told, at: now - minute, kind: 'host-added', detail: 'learned' });
  history.changes.add({ ...told, at: now - 5_000, kind: 'host-removed', detail: 'learned' });
  const kube = {
    tokenReview: async (token: string) => ({ authenticated: token !== 'old', username: token }),
    mayList: async ({ username = '' }: { username?: string | undefined }) => username === 'viewer',
  };
  const nodes = createNodesKnown({
    kube: { listMetadata: async () => playedNodes },
    labels: new Map([['node-1', { kernel: '6.18', btf: 'true', cgroups: 'v2', cryptomb: 'true' }]]),
    now: () => now,
  });
  const server = await startConsole({
    known: { scopes: state.scopes, history, now: () => now, nodes },
    metrics,
    access: createAccessCheck({ kube, metrics, namespaces: () => ['shop'], now: () => now }),
    ...{ keys, pagePath: '/nowhere', host: '127.0.0.1', port: 0 },
  });
  closing.push(() => server.close());
  const address = server.server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  return { port, keys, stop: () => server.close() };
}

const bypassed = { 'lazyscope.io/bypass': 'enabled' };
const playedNodes = [
  {
    ...{ apiVersion: 'v1', kind: 'Node' },
    metadata: {
      ...{ name: 'node-1', labels: bypassed },
      annotations: { 'lazyscope.io/bypass-state': 'active (2 pods)' },
    },
  },
  { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-2', labels: bypassed } },
];

/** How access differs from what works. */
export type Mended = { ca?: string; viewer?: string; own?: string; ready?: string };

export function clusterFor(
  port: number,
  { ca = '', viewer = 'viewer', own, ready = 'True' }: Mended,
): Cluster & { forwarded: string[] } {
  const controller = pod('lazyscope-system/lazyscope-controller-1', {
    labels: { 'app.kubernetes.io/name': 'lazyscope-controller' },
    conditions: [{ type: 'Ready', status: ready }],
  });
  const authority = {
    ...{ apiVersion: 'v1', kind: 'ConfigMap' },
    metadata: { namespace: 'lazyscope-system', name: 'lazyscope-ca' },
    data: { 'ca.crt': ca },
  };
  const forwarded: string[] = [];
  return {
    ...objectCluster([controller, authority], { namespace: 'shop' }),
    forwarded,
    async connectTo({ namespace, name }, wanted) {
      forwarded.push(`${namespace}/${name}:${wanted}`);
      const socket = connect(port, '127.0.0.1');
      await once(socket, 'connect');
      return socket;
    },
    async createToken({ namespace, name }, seconds) {
      if (viewer === '') throw new CommandError('you lack the right to create tokens', 'ask');
      expect([namespace, name, seconds]).toEqual(['lazyscope-system', 'lazyscope-viewer', 3_600]);
      return viewer;
    },
    ownToken: async () => own,
  };
}
