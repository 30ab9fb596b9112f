import type { BenchOptions } from './bench.ts';
import { catalogFleet } from './catalog-fleet.ts';
import { catalogNode } from './catalog-node.ts';
import type { Row } from './result.ts';

/** The compact catalog: one node companion that has it, and all nodes that get it at once. */
export async function catalog(options: BenchOptions): Promise<Row[]> {
  return [...(await catalogNode(options)), ...(await catalogFleet(options))];
}
