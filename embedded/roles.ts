import { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import type {
  Answer,
  ControllerMessage,
  NodeMessage,
  NodeStream,
  Question,
} from '../companion/contract/rpc.ts';
import { createControllerMetrics } from '../companion/controller/metrics.ts';
import type { NodeHandlers } from '../companion/controller/nodes/streams.ts';
import type { Sink } from '../companion/controller/reconcile/sink.ts';
import { createScoping } from '../companion/controller/scoping.ts';
import { createState } from '../companion/controller/state/state.ts';
import { startTick } from '../companion/controller/tick.ts';
import { startInformers } from '../companion/controller/watch/informers.ts';
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

/** Both roles of the companion in this process, joined where a cluster has gRPC between them. */

export type Roles = {
  /** Starts the companion of the node of one pod; gives the port that the pod's filter is to ask. */
  startNodeOf(pod: { name: string; statsPort(): number }): Promise<number>;
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
  const state = createState(config);
  const scoping = createScoping({ config, state, sink, metrics, log, now });
  const informers = startInformers(registry, state, scoping.changed, {
    ...config,
    now,
    leads: sink.mayWrite,
    // Its proxies have the filter by their bootstrap.
    filters: false,
  });
  await informers.synced;
  const joints = new Set<Joint>();
  const controller: NodeHandlers = {
    ...scoping.messages,
    onQuestion(node, question) {
      const answer = scoping.messages.onQuestion(node, question);
      onAnswer(question, answer);
      return answer;
    },
  };
  const nodes = {
    // Nobody's right to speak ends: there are no tokens.
    expire: () => undefined,
    forget(pod: { namespace: string; pod: string }) {
      for (const joint of joints) joint.toNode({ forget: pod });
    },
  };
  const tick = startTick({ ...scoping, state, metrics, nodes, now, remainingMs: () => 1_000 });
  lifecycle.onStop('informers', () => informers.stop());
  lifecycle.onStop('changes', () => scoping.changed.stop());
  lifecycle.onStop('sentinel', () => scoping.sentinel.stop());
  lifecycle.onStop('writes', () => scoping.pace.stop());
  lifecycle.onStop('tick', () => tick.stop());
  scoping.lead();
  return {
    async startNodeOf({ name, statsPort }) {
      const node = readSettings(nodeSettings, {}, [
        `--node-name=node-${name}`,
        '--port=0',
        '--scrape-seconds=1',
        // Never read: a scope is written here when its proxy has it.
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
  };
}

/** Several nodes share one lifecycle, and what readiness waits for has unique names. */
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
  // Later, as over a network: who asks begins to wait only after it has asked.
  const joint: Joint = { toNode: (message) => queueMicrotask(() => stream.push(message)) };
  const stream = new Duplex({
    objectMode: true,
    read: () => undefined,
    write({ report, question, gone }: NodeMessage, _encoding, done) {
      if (question) joint.toNode({ answer: controller.onQuestion(node, question) });
      else if (report) controller.onReport(node, report);
      else if (gone) controller.onGone(node, gone);
      done();
    },
  });
  const ends = Object.assign(stream, { cancel: () => stream.destroy() }) as unknown as NodeStream;
  const link = startLink({ ...options, stream: ends });
  joints.add(joint);
  return {
    ask: (question) => (link.ask(question) ? 1 : 0),
    changed: link.changed,
    gone: link.gone,
    stop() {
      joints.delete(joint);
      link.stop();
      stream.destroy();
    },
  };
}
