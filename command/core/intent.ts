import { counted } from '../../companion/core/mesh/counted.ts';
import { conditionIn, type Mode } from '../../companion/core/scope/condition.ts';
import type { ScopeRecord } from '../../companion/core/scope/workload-scope.ts';
import { megabytes } from './status-text.ts';

/** What a user wants changed, and what follows from it; nothing here writes. */
export type Change = {
  /** What changes, from what to what. */
  title: string;
  /** What follows, one sentence each. */
  effects: string[];
  /** JSON merge patch; undefined: there is nothing to do. */
  patch: object | undefined;
};

/** `inherit`: the mode of a Service that selects the workload, else of its namespace. */
export type AskedMode = Mode | 'inherit';

export const askedModes: readonly AskedMode[] = ['observe', 'enforce', 'off', 'inherit'];

type NamespaceMode = { name: string; label: string | undefined; scopes: readonly ScopeRecord[] };

/** Sets the mode of a namespace by its label. */
export function namespaceMode({ name, label, scopes }: NamespaceMode, mode: Mode): Change {
  const title = `namespace ${name}: mode ${label ?? 'not set'} -> ${mode}`;
  if (label === mode) return { title, effects: ['It has this mode already.'], patch: undefined };
  const own = scopes.filter((scope) => scope.mode !== undefined);
  const others = scopes.filter((scope) => scope.mode === undefined);
  const effects = others.map((scope) => effectOn(scope, mode));
  if (scopes.length === 0 && mode !== 'off') {
    effects.push(
      'The controller makes a WorkloadScope for each workload with a sidecar, and learns.',
    );
    effects.push('Nothing is learned where the filter is not installed (manifests/namespace).');
  }
  if (own.length > 0) {
    const names = own.map((each) => `${each.name} (${each.mode})`).join(', ');
    effects.push(`These keep a mode of their own: ${names}.`);
  }
  return { title, effects, patch: { metadata: { labels: { 'lazyscope.io/mode': mode } } } };
}

/** Sets the mode of one workload in its WorkloadScope. */
export function workloadMode(scope: ScopeRecord, mode: AskedMode): Change {
  const title = `workload ${scope.namespace}/${scope.name}: mode ${scope.mode ?? 'inherit'} -> ${mode}`;
  if ((scope.mode ?? 'inherit') === mode) {
    return { title, effects: ['It has this mode already.'], patch: undefined };
  }
  const effects =
    mode === 'inherit'
      ? ['The mode of a Service that selects it counts again, else that of its namespace.']
      : [effectOn(scope, mode)];
  return { title, effects, patch: guarded(scope, { mode: mode === 'inherit' ? null : mode }) };
}

function effectOn({ name, status }: ScopeRecord, mode: Mode): string {
  const ready = conditionIn(status, 'Ready');
  const isScoped = conditionIn(status, 'Scoped')?.status === 'True';
  if (mode === 'enforce') {
    if (isScoped) return `${name} is narrowed already.`;
    if (ready?.status === 'True') {
      return `${name} is narrowed at once, to ${counted(status?.hostCount ?? 0, 'host')}.`;
    }
    return `${name} is not narrowed yet: ${ready?.message ?? 'the controller has not looked at it.'}`;
  }
  if (!isScoped) {
    return mode === 'off'
      ? `${name} has full configuration already; what was learned is kept.`
      : `${name} is observed: no call changes.`;
  }
  const { beforeBytes = 0, afterBytes = 0 } = status?.memory ?? {};
  const proxies = status?.proxies.total ?? 0;
  const grows = beforeBytes > afterBytes && afterBytes > 0;
  const cost = grows ? `, ${megabytes((beforeBytes - afterBytes) * proxies)} in all` : '';
  const growing = `${counted(proxies, 'proxy')} ${proxies === 1 ? 'grows' : 'grow'}`;
  return `${name} gets full configuration back: ${growing}${cost}.`;
}

/** Only if nobody changed the object since it was read. */
function guarded({ version }: ScopeRecord, spec: object): object {
  return { metadata: { resourceVersion: String(version) }, spec };
}

type List = 'pins' | 'excludes';

/** As many as the definition of WorkloadScope takes. */
const listMax = 1_000;

/** Adds entries to the pins or excludes of a workload, or removes them. */
export function listChange(
  scope: ScopeRecord,
  list: List,
  entries: readonly string[],
  verb: 'add' | 'remove',
): Change {
  const before = scope[list];
  const asked = [...new Set(entries)];
  const news = asked.filter((entry) => before.includes(entry) === (verb === 'remove'));
  const after =
    verb === 'add' ? [...before, ...news] : before.filter((entry) => !news.includes(entry));
  const title = `workload ${scope.namespace}/${scope.name}: ${list} ${before.length} -> ${after.length}`;
  if (news.length === 0) {
    const effect = verb === 'add' ? 'All of them are there already.' : 'None of them is there.';
    return { title, effects: [effect], patch: undefined };
  }
  const effects = news.map((entry) => entryEffect(scope, list, entry, verb));
  if (after.length > listMax) {
    effects.push(`A WorkloadScope takes ${listMax} ${list}: the API server will refuse it.`);
  }
  return { title, effects, patch: guarded(scope, { [list]: after.length > 0 ? after : null }) };
}

function entryEffect(
  { status, excludes, pins }: ScopeRecord,
  list: List,
  entry: string,
  verb: 'add' | 'remove',
): string {
  const known = status?.hosts.find(({ host }) => host === entry);
  const used = known?.lastSeen ? `; it was last used at ${known.lastSeen}` : '';
  if (list === 'pins') {
    if (verb === 'remove') return `- ${entry}: stays only while it is used or needed${used}`;
    const wide = entry.includes('*')
      ? '; a wildcard imports all that it matches, and istiod looks for them at each push'
      : '';
    const wins = excludes.includes(entry) ? '; a pin wins over the exclude that is there, too' : '';
    return `+ ${entry}: always in the scope${known ? ` (now: ${known.reason})` : ''}${wide}${wins}`;
  }
  if (verb === 'remove') return `- ${entry}: may be learned again`;
  if (pins.includes(entry)) return `+ ${entry}: no effect while it is pinned`;
  const reason = known ? ` (now: ${known.reason}${used})` : '';
  const lost =
    known && ['learned', 'virtualservice', 'eager', 'provider', 'alias'].includes(known.reason)
      ? '; every call to it is a first call from then on'
      : '';
  return `+ ${entry}: leaves the scope, and is not learned${reason}${lost}`;
}

/**
 * An entry of a scope as a user may write it: `namespace/host`, or the full name of a Service.
 * Undefined if the namespace of the host is not clear.
 */
export function entryOfText(text: string): string | undefined {
  const entry = text.toLowerCase();
  if (/^[^/\s]+\/[^/\s]+$/.test(entry) && entry.length <= 320) return entry;
  const [, namespace] = /^[^./\s]+\.([^./\s]+)\.svc\.[^/\s]+$/.exec(entry) ?? [];
  return namespace && `${namespace}/${entry}`;
}
