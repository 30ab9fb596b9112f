import { Argument } from 'commander';
import { type Caller, callersOf } from '../core/callers.ts';
import { type Column, tableOf } from '../core/table.ts';
import { readScopes } from '../frame/scopes.ts';
import type { Verb } from '../frame/verb.ts';

export const callersVerb: Verb = {
  usage: 'callers',
  about: 'who calls a host, since when and when last; and who else has it in the scope',
  example: ['lazyscope callers cart.shop', 'lazyscope callers api.example.com -o json'],
  arguments: [new Argument('<host>', 'a host, namespace/host, or a Service: cart, cart.shop')],
  async run(session, host: string) {
    // A caller may be in any namespace, so the namespace of the context does not count.
    const callers = callersOf(await readScopes(session, session.options.namespace), host);
    session.show({
      data: { host, callers },
      text: (view) =>
        tableOf(columns, callers, view) ||
        `No scope has ${host}. Only workloads of enabled namespaces are known.\n`,
    });
    return undefined;
  },
};

const columns: Column<Caller>[] = [
  { title: 'NAMESPACE', cell: ({ namespace }) => namespace },
  { title: 'WORKLOAD', cell: ({ workload }) => workload },
  { title: 'MODE', cell: ({ mode }) => mode },
  { title: 'REASON', cell: ({ reason }) => reason },
  { title: 'HOST', cell: ({ entry }) => entry },
  { title: 'FIRST-SEEN', cell: ({ firstSeen = '' }) => firstSeen },
  { title: 'LAST-SEEN', cell: ({ lastSeen = '' }) => lastSeen },
  { title: 'WHY', cell: ({ message = '' }) => message, wide: true },
];
