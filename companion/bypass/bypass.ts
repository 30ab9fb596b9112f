import { performance } from 'node:perf_hooks';
import type { BypassConfig } from '../frame/config.ts';
import { messageOf } from '../frame/errors.ts';
import type { RoleDeps } from '../frame/role.ts';
import { connectKube } from '../kube/kube.ts';
import type { Kube } from '../kube/object.ts';
import { type Candidates, watchCandidates } from './candidates.ts';
import { type Health, judge } from './health.ts';
import { readLivePatches } from './live-patches.ts';
import type { Loader, Stats } from './loader.ts';
import { type BypassMetrics, createBypassMetrics } from './metrics.ts';
import { type Proof, prove } from './prove.ts';
import { createPublish } from './publish.ts';
import { createReport, eventOf } from './report.ts';
import { createServe } from './serve.ts';
import { begin, describe, isLoaded, type Machine, next, type StateEvent } from './state.ts';

/**
 * Interval at which figures are read and pods are checked; a change of a pod takes effect at once.
 */
const roundMs = 5_000;
/**
 * Open connections get this long to end before the loader exits; they survive its exit in any case.
 */
const drainSeconds = 5;

type BypassKube = Pick<Kube, 'watch' | 'apply' | 'create'>;

/** The role: the bypass of one node. */
export async function runBypass(config: BypassConfig, deps: RoleDeps): Promise<void> {
  const kube = await connectKube(config, deps);
  deps.lifecycle.onStop('kube', () => kube.close());
  startBypass(config, deps, kube);
}

/** Runs the bypass of this node for the life of the process; state.ts has the states. */
export function startBypass(config: BypassConfig, deps: RoleDeps, kube: BypassKube): void {
  const { log, lifecycle, debug } = deps;
  const metrics = createBypassMetrics(deps.registry);
  const serve = createServe({ config, metrics, log });
  const publish = createPublish({
    kube,
    nodeName: config.nodeName,
    featurePath: config.featureFile,
  });
  const rounds = createRounds(round, (error) =>
    log.warn({ err: messageOf(error) }, 'bypass round failed'),
  );
  const candidates: Candidates = watchCandidates(kube, config.nodeName, rounds.soon);
  const kernel = createKernel(config, deps, kube, metrics);

  async function round(): Promise<void> {
    if (candidates.optedIn()) kernel.happened({ type: 'wanted' });
    else kernel.happened({ type: 'unwanted', reason: 'the node is not labelled' });
    const { loader, proof } = await kernel.settle();
    if (loader && proof) {
      const { pods, stats } = await serve(loader, proof.layout, candidates.all());
      kernel.happened({ type: 'attached', pods });
      kernel.judge(loader, stats);
    }
    if (proof) await publish(createReport(kernel.state(), proof, candidates.all()));
  }

  lifecycle.detail(() => `bypass: ${describe(kernel.state())}`);
  debug.set('bypass', () => ({ ...kernel.view(), candidates: candidates.all() }));
  lifecycle.onStop('bypass', async () => {
    candidates.stop();
    await rounds.stop();
    await kernel.stop();
  });
}

/** The loader and its state. */
function createKernel(
  config: BypassConfig,
  { log }: Pick<RoleDeps, 'log'>,
  kube: Pick<Kube, 'create'>,
  metrics: BypassMetrics,
) {
  let machine: Machine = begin;
  let loader: Loader | undefined;
  let proof: Proof | undefined;
  let health: { of: Loader; found: Health } | undefined;
  let patches: string | undefined;
  metrics.setState(machine.state.name);

  function happened(event: StateEvent): void {
    const before = machine.state;
    machine = next(machine, event, performance.now());
    if (describe(machine.state) === describe(before)) return;
    log.info({ bypass: describe(machine.state), was: before.name }, 'bypass state changed');
    metrics.setState(machine.state.name);
    if (machine.barred) tell('BypassFlapping');
    else if (machine.state.name === 'refused') tell('BypassRefused');
    else if (event.type === 'unwell' || event.type === 'outdated') tell('BypassOff');
    else if (event.type === 'proven' && machine.rests.length > 0) tell('BypassOn', 'Normal');
  }

  function tell(reason: string, type: 'Warning' | 'Normal' = 'Warning'): void {
    kube
      .create(eventOf(config.nodeName, reason, describe(machine.state), new Date(), type))
      .catch((error: unknown) => log.warn({ err: messageOf(error) }, 'failed to write an Event'));
  }

  /** The figures of a new loader begin at zero. */
  function judgeFigures(of: Loader, stats: Stats): void {
    const known = health?.of === of ? health.found : undefined;
    const { health: found, unwell } = judge(known, stats, performance.now());
    health = { of, found };
    if (unwell !== undefined) happened({ type: 'unwell', reason: unwell });
  }

  async function lookAtPatches(): Promise<void> {
    const now = await readLivePatches();
    if (patches !== undefined && now !== patches) {
      happened({ type: 'outdated', reason: 'the running kernel was patched' });
    }
    patches = now;
  }

  async function start(): Promise<void> {
    proof = await prove(config);
    if ('refused' in proof) return happened({ type: 'disproven', reason: proof.refused });
    const started = proof.loader;
    loader = started;
    happened({ type: 'proven' });
    // The end of the loader is logged unless this process ended it.
    void started.ended.then((reason) => {
      if (loader !== started) return;
      loader = undefined;
      metrics.noLoader();
      metrics.restarts.inc();
      happened({ type: 'loader ended', reason });
    });
  }

  async function drain(seconds: number): Promise<void> {
    const ending = loader;
    loader = undefined;
    await ending?.drain(seconds).catch(() => undefined);
    await ending?.close();
    metrics.noLoader();
    happened({ type: 'drained' });
  }

  return {
    happened,
    judge: judgeFigures,
    state: () => machine.state,
    view: () => ({ ...machine, selftest: proof?.selftest, features: proof?.features }),
    /** Starts or ends the loader as the state requires; returns a loader that is ready for work. */
    async settle(): Promise<{ loader: Loader | undefined; proof: Proof | undefined }> {
      await lookAtPatches();
      if (machine.state.name === 'probing' && performance.now() >= machine.notBefore) await start();
      if (machine.state.name === 'draining') await drain(drainSeconds);
      return { loader: isLoaded(machine.state) ? loader : undefined, proof };
    },
    stop: () => drain(0),
  };
}

/** One round at a time; requests during a round share the next round. */
function createRounds(round: () => Promise<void>, failed: (error: unknown) => void) {
  let running = Promise.resolve();
  let due = false;
  let stopped = false;
  const soon = () => {
    if (due || stopped) return;
    due = true;
    running = running.then(async () => {
      due = false;
      if (!stopped) await round().catch(failed);
    });
  };
  const timer = setInterval(soon, roundMs);
  return {
    soon,
    async stop() {
      stopped = true;
      clearInterval(timer);
      await running;
    },
  };
}
