#!/usr/bin/env node
import { connectCluster } from './frame/cluster.ts';
import { processOutput } from './frame/output.ts';
import { run } from './program.ts';

/** The process: arguments in, text and an exit code out. */
const program = /^kubectl-/.test(process.argv[1]?.split(/[\\/]/).at(-1) ?? '')
  ? 'kubectl lazyscope'
  : 'lazyscope';

run(process.argv.slice(2), {
  program,
  out: processOutput(process),
  connect: connectCluster,
  now: Date.now,
  interrupted: () =>
    new Promise((resolve) => {
      for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => resolve());
    }),
}).then((code) => {
  process.exitCode = code;
});
