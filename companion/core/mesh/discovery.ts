import { parse } from 'yaml';
import { z } from 'zod';

/** The namespaces that istiod watches: MeshConfig `discoverySelectors`; none means all. */
export type DiscoverySelectors = z.infer<typeof selectorsSchema>;

const expressionSchema = z.discriminatedUnion('operator', [
  z.object({ operator: z.enum(['In', 'NotIn']), key: z.string(), values: z.array(z.string()) }),
  z.object({ operator: z.enum(['Exists', 'DoesNotExist']), key: z.string() }),
]);
/** A label selector of Kubernetes. */
export const selectorSchema = z.object({
  matchLabels: z.record(z.string(), z.string()).optional(),
  matchExpressions: z.array(expressionSchema).optional(),
});
const selectorsSchema = z.array(selectorSchema);
const meshSchema = z.object({ discoverySelectors: selectorsSchema.nullish() }).nullish();

/**
 * Parses MeshConfig YAML; throws for a value that istiod would refuse too, keeping the previous
 * one.
 */
export function readDiscoverySelectors(mesh: string): DiscoverySelectors {
  return meshSchema.parse(parse(mesh))?.discoverySelectors ?? [];
}

type Labels = Readonly<Record<string, string>>;

/** As istiod decides (pkg/kube/namespace/filter.go): one selector that matches is enough. */
export function isDiscovered(selectors: DiscoverySelectors, labels: Labels): boolean {
  if (selectors.length === 0) return true;
  return selectors.some(
    ({ matchLabels = {}, matchExpressions = [] }) =>
      Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
      matchExpressions.every((expression) => matches(expression, labels[expression.key])),
  );
}

function matches(expression: z.infer<typeof expressionSchema>, value: string | undefined): boolean {
  switch (expression.operator) {
    case 'In':
      return value !== undefined && expression.values.includes(value);
    case 'NotIn':
      return value === undefined || !expression.values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}
