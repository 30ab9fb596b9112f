import { basename } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { orderOf } from './file-order.ts';

/** Any whole number: the nightly run shuffles the files that must not depend on each other. */
const shuffle = process.env.LAZYSCOPE_TEST_SHUFFLE;
const seed = shuffle === undefined ? undefined : Number(shuffle);
if (seed !== undefined && !Number.isSafeInteger(seed))
  throw new Error(`LAZYSCOPE_TEST_SHUFFLE is '${shuffle}'; it must be a whole number, the seed`);

const nameOf = ({ moduleId }: TestSpecification) => basename(moduleId, '.test.ts');

/** Runs the files of a mesh in their written order; leaves all other projects to Vitest. */
export default class extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const place = new Map(sorted.map((file, index) => [file, index]));
    const placeOf = (file: TestSpecification) => place.get(file) ?? 0;
    const positionOf = (file: TestSpecification) =>
      orderOf(file.project.name, seed)?.indexOf(nameOf(file)) ?? 0;
    return sorted.sort((a, b) => {
      const byOrder = a.project === b.project ? positionOf(a) - positionOf(b) : 0;
      return byOrder || placeOf(a) - placeOf(b);
    });
  }
}
