import { InvalidArgumentError, Option } from 'commander';
import { statusOf } from '../core/status.ts';
import { statusText } from '../core/status-text.ts';
import { readScopes } from '../frame/scopes.ts';
import { namespaceOf, requireNamespace, type Verb } from '../frame/verb.ts';

export const statusVerb: Verb = {
  usage: 'status',
  about: 'each workload: its mode, what stands in the way, and what its scope saves',
  example: ['lazyscope status -A --price-gib-month 3.50', 'lazyscope status -n shop -o wide'],
  options: [
    new Option(
      '--price-gib-month <price>',
      'what a GiB of memory costs in a month; adds a column with what is saved',
    ).argParser(readPrice),
  ],
  async run(session) {
    const namespace = await namespaceOf(session);
    const scopes = await readScopes(session, namespace);
    if (scopes.length === 0) await requireNamespace(session, namespace);
    const priceGibMonth = session.options.priceGibMonth as number | undefined;
    const status = statusOf(scopes, { priceGibMonth, now: session.now() });
    session.show({ data: status, text: (view) => statusText(status, view) });
    return undefined;
  },
};

function readPrice(text: string): number {
  const price = Number(text);
  if (text.trim() !== '' && Number.isFinite(price) && price >= 0) return price;
  throw new InvalidArgumentError('It is not a number of 0 or more.');
}
