import { createLifecycle, stopOnSignals } from '../../../../companion/frame/lifecycle.ts';
import { createLog, openStdout } from '../../../../companion/frame/log.ts';

/** A process that logs while nobody reads its log. On stderr it reports that it still runs. */
let dropped = 0;
const log = createLog(
  'test',
  'info',
  openStdout(() => {
    dropped += 1;
  }),
);
for (let n = 0; n < 20_000; n++) log.info({ n, filling: 'x'.repeat(500) }, 'flooding');
setTimeout(() => process.stderr.write(`${process.pid} is alive, dropped ${dropped > 0}\n`), 100);
stopOnSignals(createLifecycle({ log, deadlineMs: 1_000 }), log);
// Keeps the process running until a signal ends it.
setInterval(() => undefined, 60_000);
