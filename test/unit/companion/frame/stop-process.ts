import { setTimeout as sleep } from 'node:timers/promises';
import { createLifecycle, stopOnSignals } from '../../../../companion/frame/lifecycle.ts';
import { createLog } from '../../../../companion/frame/log.ts';

/** A process with one stop hook, which takes as many milliseconds as the argument says. */
const log = createLog('test', 'silent');
const lifecycle = createLifecycle({ log, deadlineMs: 2_000 });
stopOnSignals(lifecycle, log);
lifecycle.onStop('slow', async () => {
  process.stdout.write('stopping\n');
  await sleep(Number(process.argv[2]));
});
setInterval(() => undefined, 1_000);
process.stdout.write('started\n');
