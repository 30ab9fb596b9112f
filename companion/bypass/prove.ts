import { messageOf } from '../frame/errors.ts';
import { disqualification, type Features, readFeatures } from './features.ts';
import { type Loader, type SelfTest, startLoader } from './loader.ts';
import { type Layout, ownCgroup, readLayout } from './pod-cgroup.ts';

/** What was found out about the node, and a loader that has passed, or why there is none. */
export type Proof = {
  layout: Layout;
  features: Features;
  selftest?: SelfTest;
} & ({ loader: Loader } | { refused: string });

/** Where this process, and so the loader's self-test, has its own cgroup. */
const ownMount = '/sys/fs/cgroup';

/** Tries the node, then the kernel on sockets of our own, before any other socket is touched. */
export async function prove(config: { loader: string; cgroups: string }): Promise<Proof> {
  const layout = await readLayout(config.cgroups);
  const features = await readFeatures(layout);
  const refused = disqualification(features);
  if (refused !== undefined) return { layout, features, refused };
  let loader: Loader;
  try {
    loader = await startLoader(config.loader);
  } catch (error) {
    return { layout, features, refused: `the loader does not start: ${messageOf(error)}` };
  }
  let selftest: SelfTest | undefined;
  try {
    await loader.probe();
    selftest = await loader.selftest(await ownCgroup(await readLayout(ownMount)));
    const failed = Object.entries(selftest.checks).find(([, outcome]) => outcome !== 'ok');
    if (failed) throw new Error(`self-test, ${failed[0]}: ${failed[1]}`);
    await loader.start({ cgroups: [] });
    return { layout, features, selftest, loader };
  } catch (error) {
    await loader.close();
    return { layout, features, ...(selftest && { selftest }), refused: messageOf(error) };
  }
}
