import { join } from 'node:path';
import { writeCharts } from './generate.ts';
import { repository } from './kustomize.ts';

await writeCharts(join(repository, 'build', 'charts'));
