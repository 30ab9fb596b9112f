import { bypassDisqualification } from '../core/mesh/node-features.ts';
import { messageOf } from '../frame/errors.ts';
import { type Features, readFeatures } from './features.ts';
import { type Loader, type SelfTest, startLoader } from './loader.ts';
import { type Layout, ownCgroup, readLayout } from './pod-cgroup.ts';

/**
 * The features of the node, and a loader that has passed the self-test, or the reason why there is
 * none.
 */
export type Proof = {
  layout: Layout;
  features: Features;
  selftest?: SelfTest;
} & ({ loader: Loader } | { refused: string });

/** Where a container sees its own cgroup, which is that of the loader's self-test too. */
const ownMount = '/sys/fs/cgroup';

/**
 * Checks the node, then tests the kernel on the loader's own sockets, before any other socket is
 * used.
 */
export async function prove(config: { loader: string; cgroups: string }): Promise<Proof> {
  const layout = await readLayout(config.cgroups);
  const features = await readFeatures(layout);
  const refused = bypassDisqualification(features);
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
    selftest = await loader.selftest(await ownCgroup([await readLayout(ownMount), layout]));
    const failed = Object.entries(selftest.checks).find(([, outcome]) => outcome !== 'ok');
    if (failed) throw new Error(`self-test, ${failed[0]}: ${failed[1]}`);
    await loader.start({ cgroups: [] });
    return { layout, features, selftest, loader };
  } catch (error) {
    await loader.close();
    return { layout, features, ...(selftest && { selftest }), refused: messageOf(error) };
  }
}
