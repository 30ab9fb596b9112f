import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { type Agent, startAgent } from '../../box/bypass/agent.ts';
import { type Cgroup, createCgroup } from '../../box/bypass/cgroup.ts';
import { kernelBugLines, leftovers } from '../../box/bypass/leftovers.ts';
import { loaderPath } from '../../box/paths.ts';
import { type Loader, type LoaderPolicy, startLoader } from '../../companion/bypass/loader.ts';

/**
 * The set-up of most tests: a cgroup, a process with sockets in this cgroup, and a loader when a
 * test starts one.
 */
export type Rig = {
  cgroup: string;
  agent: Agent;
  /** Starts another process in the same cgroup, optionally in another network namespace. */
  startAgent(netns?: number): Promise<Agent>;
  /** Starts a loader on the cgroup. The rig ends the loader after the test. */
  accelerate(policy?: LoaderPolicy & { connections?: number }): Promise<Loader>;
  /**
   * The first connection of a listener is taken in as well, unless a policy says for how long
   * listeners are left alone.
   */
  loader(): Promise<Loader>;
};

/**
 * Sets up before all tests of a file. After each test nothing of the rig may be left in the kernel.
 */
export function useRig(): Rig {
  const loaders: Loader[] = [];
  const agents: Agent[] = [];
  let cgroup: Cgroup;
  let complaints: string[];
  const rig = {} as Rig;

  beforeAll(async () => {
    complaints = await kernelBugLines();
    cgroup = await createCgroup();
    rig.cgroup = cgroup.path;
    rig.agent = await startAgent(cgroup.path);
  });
  rig.startAgent = async (netns) => {
    const agent = await startAgent(cgroup.path, netns);
    agents.push(agent);
    return agent;
  };
  rig.loader = async () => {
    const loader = await startLoader(loaderPath);
    loaders.push(loader);
    return {
      ...loader,
      start: (policy) => loader.start({ streamSeconds: 0, ...policy }),
      policy: (policy) => loader.policy({ streamSeconds: 0, ...policy }),
    };
  };
  rig.accelerate = async (policy = {}) => {
    const loader = await rig.loader();
    const { refused } = await loader.start({
      cgroups: [cgroup.path],
      ...policy,
    });
    expect(refused).toEqual([]);
    await showReads(rig.agent);
    return loader;
  };
  afterEach(async () => {
    await rig.agent.do('close_all');
    for (const agent of agents.splice(0)) await agent.stop();
    for (const loader of loaders.splice(0)) await loader.close();
    expect(await leftovers()).toEqual([]);
  });
  afterAll(async () => {
    await rig.agent.stop();
    await cgroup.remove();
    expect(await kernelBugLines()).toEqual(complaints);
  });
  return rig;
}

/**
 * The bypass takes in sockets of a container after one of these sockets has read without blocking.
 */
export async function showReads(agent: Agent): Promise<void> {
  const { client, server } = await agent.do('pair');
  await agent.do('send', { id: client, text: 'x' });
  await agent.do('receive', { id: server, size: 1 });
  for (const id of [client, server]) await agent.do('close', { id });
}
