import { ensureApp, ensureBinaries, ensureHelm, ensurePrometheus } from './artifacts/binaries.ts';
import { companionArchive } from './artifacts/companion-image.ts';
import { ensureBuild } from './artifacts/product-build.ts';
import { prepareMesh } from './cluster/up.ts';
import { repoDir } from './paths.ts';
import { missingPrerequisites } from './prerequisites.ts';

const say = (line: string) => console.error(line);

/**
 * Everything compiled for the cluster in a box, its images if they can be built, and Prometheus.
 */
async function tools(): Promise<void> {
  await ensureBinaries(say);
  await ensureApp(say);
  if (missingPrerequisites().length === 0) await prepareMesh([], say);
  await ensurePrometheus(say);
}

/** Steps that run once, before several users start at the same time. */
const steps: Record<string, () => Promise<unknown>> = {
  build: () => ensureBuild(repoDir),
  image: async () => prepareMesh([await companionArchive(say)], say),
  tools,
  helm: () => ensureHelm(say),
};

const [what = ''] = process.argv.slice(2);
const step = steps[what];
if (step === undefined) throw new Error(`'${what}': give one of ${Object.keys(steps).join(', ')}`);
await step();
