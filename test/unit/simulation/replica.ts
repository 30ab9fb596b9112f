import { pino } from 'pino';
import { Registry } from 'prom-client';
import { steadyClock } from '../../../companion/bounds/clock.ts';
import type { ControllerMessage, NodeMessage } from '../../../companion/contract/rpc.ts';
import { startEngine } from '../../../companion/controller/engine.ts';
import { createControllerMetrics } from '../../../companion/controller/metrics.ts';
import { createKubeSink } from '../../../companion/controller/reconcile/kube-sink.ts';
import { controllerSettings } from '../../../companion/frame/config.ts';
import { readSettings } from '../../../companion/frame/settings.ts';
import { startLeader } from '../../../companion/kube/leader.ts';
import { createDoor, type DoorOptions } from './door.ts';

export const ttlMs = 6 * 60_000;

const config = {
  ...readSettings(controllerSettings, { LAZYSCOPE_POD_NAME: 'set-by-each' }, []),
  ttlSeconds: ttlMs / 1000,
  learningWindowSeconds: 60,
};

/** A controller, as a node companion sees it. */
export type Peer = {
  identity: string;
  isAlive(): boolean;
  hear(node: string, message: NodeMessage): ControllerMessage | undefined;
  opened(node: string): void;
  closed(node: string): void;
  /** A connection that receives the controller's messages about forgotten pods. */
  listeners: Set<(message: ControllerMessage) => void>;
};

/** A controller as `runController` wires it, with a simulated connection to the API server. */
export async function startReplica(identity: string, options: DoorOptions) {
  const log = pino({ level: 'silent' });
  const metrics = createControllerMetrics(new Registry());
  let jumpMs = 0;
  const now = steadyClock(() => Date.now() + jumpMs);
  const door = createDoor(options);
  const { kube } = door;
  let leaseMs = () => 0;
  const sink = createKubeSink({ kube, log, metrics, leaseMs: () => leaseMs(), now });
  const engine = startEngine({ config, kube, sink, log, metrics, now, served: [] });
  const { state, messages } = engine;
  await engine.synced;
  const leader = startLeader({
    ...{ kube, log, identity, namespace: config.namespace, name: 'lease' },
    leaseSeconds: config.leaseSeconds,
    onElected: engine.lead,
    onLost: () => undefined,
  });
  leaseMs = leader.remainingMs;
  const listeners = new Set<(message: ControllerMessage) => void>();
  const forget = (pod: { namespace: string; pod: string }) => {
    for (const listener of listeners) listener({ forget: pod });
  };
  engine.startTick({ forget, expire: () => undefined, repay: () => undefined });
  let isAlive = true;
  const peer: Peer = {
    identity,
    isAlive: () => isAlive,
    listeners,
    opened: engine.messages.onOpened,
    closed: engine.messages.onClosed,
    hear(node, { report, gone, question }) {
      if (report) messages.onReport(node, report);
      else if (gone) messages.onGone(node, gone);
      else if (question) return { answer: messages.onQuestion(node, question) };
      return undefined;
    },
  };
  return {
    identity,
    peer,
    door,
    state,
    leads: sink.mayWrite,
    /** Sets the clock of the machine. */
    setClock: (ms: number) => {
      jumpMs = ms;
    },
    /** The number of waiting workloads, which must not exceed the number of workloads. */
    waiting: () => engine.parts.pace.pending(),
    kill() {
      isAlive = false;
      door.close();
      void engine.stop();
      void leader.release().catch(() => undefined);
    },
  };
}

export type Replica = Awaited<ReturnType<typeof startReplica>>;
