import { Duplex } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import type { Logger } from 'pino';
import type {
  Answer,
  ControllerMessage,
  NodeMessage,
  NodeStream,
  Question,
} from '../companion/contract/rpc.ts';
import type { Known } from '../companion/controller/console/known.ts';
import { startConsole } from '../companion/controller/console/server.ts';
import { startEngine } from '../companion/controller/engine.ts';
import { createControllerMetrics } from '../companion/controller/metrics.ts';
import type { NodeHandlers } from '../companion/controller/nodes/rated.ts';
import type { Sink } from '../companion/controller/reconcile/sink.ts';
import {
  type ControllerConfig,
  controllerSettings,
  nodeSettings,
} from '../companion/frame/config.ts';
import type { Lifecycle } from '../companion/frame/lifecycle.ts';
import { createRegistry as createMetricsRegistry } from '../companion/frame/metrics.ts';
import { readSettings } from '../companion/frame/settings.ts';
import { version } from '../companion/frame/version.ts';
import { startLink } from '../companion/node/link.ts';
import { startNode } from '../companion/node/node.ts';
import type { Uplink, UplinkOptions } from '../companion/node/uplink.ts';
import type { Registry } from './registry.ts';
import { shippedPath } from './shipped-patches.ts';

/** Both roles of the companion in this process, joined by a stream instead of gRPC. */

export type Roles = {
  /** Starts the node companion of one pod; returns the port that the pod's filter connects to. */
  startNodeOf(pod: { name: string; statsPort(): number }): Promise<number>;
  /**
   * Opens the page on the loopback address, for everybody who can reach that; returns its port. A
   * request that names another host is refused, so no other site can read it. `more` may add to
   * what the page shows.
   */
  openPage(more?: (known: Known) => Known): Promise<number>;
  /** Resolves when every node companion has the compact catalog as it is now. */
  settled(): Promise<void>;
};

export type RolesOptions = {
  registry: Registry;
  sink: Sink;
  log: Logger;
  lifecycle: Lifecycle;
  /** Settings that differ from the defaults of a cluster. */
  settings: Partial<ControllerConfig>;
  /** A question of a filter was answered. */
  onAnswer(question: Question, answer: Answer): void;
};

export async function startRoles(options: RolesOptions): Promise<Roles> {
  const { registry, sink, log, lifecycle, settings, onAnswer } = options;
  const now = () => Date.now();
  const defaults = readSettings(controllerSettings, {}, ['--pod-name=embedded']);
  const config: ControllerConfig = { ...defaults, ...settings };
  const metrics = createControllerMetrics(createMetricsRegistry(version, 'controller'));
  // The proxies of this mesh have the filter in their bootstrap.
  const engine = startEngine({
    config,
    kube: registry,
    sink,
    log,
    metrics,
    now,
    served: undefined,
  });
  lifecycle.onStop('engine', () => engine.stop());
  await engine.synced;
  const joints = new Set<Joint>();
  const controller: NodeHandlers = {
    ...engine.messages,
    onQuestion(node, question) {
      const answer = engine.messages.onQuestion(node, question);
      onAnswer(question, answer);
      return answer;
    },
  };
  engine.startTick({
    // No stream expires, because there are no tokens.
    expire: () => undefined,
    repay: () => undefined,
    forget(pod) {
      for (const joint of joints) joint.toNode({ forget: pod });
    },
  });
  engine.lead();
  return {
    async startNodeOf({ name, statsPort }) {
      const node = readSettings(nodeSettings, {}, [
        `--node-name=node-${name}`,
        '--port=0',
        '--access-log-port=0',
        '--scrape-seconds=1',
        // No one reads this: a scope is applied before it counts as written.
        '--ca-path=none',
        '--settle-milliseconds=0',
      ]);
      const roleDeps = {
        log: log.child({ node: name }),
        lifecycle: named(lifecycle, name),
        registry: createMetricsRegistry(version, 'node'),
        debug: new Map(),
      };
      const { port } = await startNode(node, roleDeps, registry, {
        connect: (uplink) => connectInProcess(uplink, controller, joints),
        host: '127.0.0.1',
        statsPort,
      });
      return port;
    },
    async openPage(more = (known) => known) {
      const page = await startConsole({
        known: more({
          ...{ scopes: engine.state.scopes, history: engine.history, now },
          explained: engine.explained,
        }),
        metrics,
        access: async () => ({ all: true, namespaces: new Set() }),
        ...{ pagePath: shippedPath('build/companion/page'), host: '127.0.0.1', port: 0 },
        guard: ({ hostname }) =>
          ['127.0.0.1', 'localhost'].includes(hostname) ? undefined : 'not a name of this page',
      });
      lifecycle.onStop('page', () => page.close());
      const address = page.server.address();
      return typeof address === 'object' ? (address?.port ?? 0) : 0;
    },
    async settled() {
      await engine.parts.feed.sent();
      // The stream hands a message over before the next turn of the event loop.
      await setImmediate();
    },
  };
}

/** Several nodes share one lifecycle, so the names of their readiness conditions must be unique. */
function named(lifecycle: Lifecycle, name: string): Lifecycle {
  return { ...lifecycle, registerTask: (what) => lifecycle.registerTask(`${what} of ${name}`) };
}

/** The controller's end of a stream that never leaves the process. */
type Joint = { toNode(message: ControllerMessage): void };

function connectInProcess(
  options: UplinkOptions,
  controller: NodeHandlers,
  joints: Set<Joint>,
): Uplink {
  const { node } = options.hello;
  // Asynchronously, as over a network: a caller starts to wait only after it has asked.
  const joint: Joint = { toNode: (message) => queueMicrotask(() => stream.push(message)) };
  let unfollow = () => {};
  const stream = new Duplex({
    objectMode: true,
    read: () => undefined,
    write({ report, question, gone, features, follow }: NodeMessage, _encoding, done) {
      if (question) joint.toNode({ answer: controller.onQuestion(node, question) });
      else if (report) controller.onReport(node, report);
      else if (gone) controller.onGone(node, gone);
      else if (features) controller.onFeatures(node, features);
      else if (follow) {
        unfollow();
        unfollow = controller.onFollow(node, follow, (catalog) => joint.toNode({ catalog }));
      }
      done();
    },
  });
  const ends = Object.assign(stream, { cancel: () => stream.destroy() }) as unknown as NodeStream;
  const link = startLink({ ...options, stream: ends });
  joints.add(joint);
  controller.onOpened(node);
  options.onOpened(link);
  return {
    ask: (question) => (link.ask(question) ? 1 : 0),
    changed: link.changed,
    gone: link.gone,
    stop() {
      if (joints.delete(joint)) controller.onClosed(node);
      unfollow();
      link.stop();
      stream.destroy();
    },
  };
}
