import { InvalidArgumentError, Option } from 'commander';
import { openBrowser } from '../frame/browser.ts';
import { askConsole, openConsole } from '../frame/console.ts';
import type { Verb } from '../frame/verb.ts';

export const dashboardVerb: Verb = {
  usage: 'dashboard',
  about: 'opens the page of the controllers through a port-forward; ends with Ctrl-C',
  example: ['lazyscope dashboard', 'lazyscope dashboard --no-browser --port 9474'],
  options: [
    new Option('--port <port>', 'port of this machine; 0: the system chooses one')
      .default(0, '0')
      .argParser(readPort),
    new Option('--no-browser', 'print the address, and open nothing'),
  ],
  async run(session) {
    const { options, out } = session;
    const cluster = await session.cluster();
    const port = options.port as number;
    const access = await openConsole(cluster, { port, warn: out.warn });
    try {
      // A token that the controllers refuse shows here, and not only in the browser.
      await askConsole(access, '/api/v1/changes?since=999999999999999');
      const address = `${access.url}/#token=${access.token}`;
      out.write(`${address}\n`);
      out.warn(
        'The address has a token that is valid for an hour: keep it to yourself. Ctrl-C ends.\n',
      );
      if (options.browser !== false && !(await openBrowser(address)))
        out.warn('No browser could be started; open the address by hand.\n');
      await session.interrupted();
    } finally {
      access.close();
    }
    return undefined;
  },
};

function readPort(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port;
  throw new InvalidArgumentError('It is no port from 0 to 65535.');
}
