import { z } from 'zod';
import { isDiscovered, selectorSchema } from './discovery.ts';
import type { ExportTo } from './records.ts';

/**
 * MeshConfig `serviceEntryVisibility`: how far ServiceEntries may be seen at most, by the labels of
 * their namespace (pilot/pkg/model/serviceentry_visibility.go). Only where it is said to apply to
 * sidecars.
 */
export type EntryVisibility = z.infer<typeof schema>;

// Any other value means PUBLIC, as in istiod.
const visibility = z.enum(['PUBLIC', 'NAMESPACE', 'NONE']).catch('PUBLIC');
const rule = z.object({ namespaceSelector: selectorSchema.optional() });
const policy = z.object({ visibility: visibility, matchingRules: z.array(rule).default([]) });
const schema = z.object({
  applyToSidecars: z.literal(true),
  defaultVisibility: visibility,
  policies: z.array(policy).default([]),
});

export function readEntryVisibility(value: unknown): EntryVisibility | undefined {
  return schema.safeParse(value).data;
}

type Labels = Readonly<Record<string, string>>;

/** The rest of an entry's `exportTo` (pilot/pkg/model/push_context.go, serviceExportTo). */
export function cappedExports(
  { policies, defaultVisibility }: EntryVisibility,
  exportTo: ExportTo,
  namespace: string,
  labels: Labels,
): ExportTo {
  // A rule of an unknown kind matches nothing.
  const first = policies.find(({ matchingRules }) =>
    matchingRules.every(({ namespaceSelector: selector }) =>
      selector ? isDiscovered([selector], labels) : false,
    ),
  );
  const most = first?.visibility ?? defaultVisibility;
  if (most === 'PUBLIC') return exportTo;
  const toItself = exportTo.length === 0 || exportTo.includes('.') || exportTo.includes(namespace);
  return most === 'NAMESPACE' && toItself ? ['.'] : ['~'];
}
