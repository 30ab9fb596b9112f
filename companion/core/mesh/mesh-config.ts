import { parse } from 'yaml';
import type { KubeObject } from '../../kube/object.ts';
import { type EntryVisibility, readEntryVisibility } from './entry-visibility.ts';
import { type ExportTo, exportToOf } from './records.ts';
import { istioRetries, type RetryPolicy, readRetryPolicy } from './retry-policy.ts';
import { providerReferences, type ServiceReference } from './service-reference.ts';

/** The fields of the mesh configuration that Lazyscope reads. */
export type MeshConfig = {
  /** The default visibility of objects without `exportTo`. */
  exportTo: Record<ExportedKind, ExportTo>;
  /** Further trust domains that identities of the mesh may have. */
  trustDomainAliases: readonly string[];
  /** How far ServiceEntries may be seen; undefined: as their `exportTo` says. */
  entryVisibility?: EntryVisibility | undefined;
  /** Whether sidecars use mutual TLS by themselves, where no DestinationRule says so. */
  autoMtls: boolean;
  /** The retry policy of routes that have none of their own; undefined: they repeat nothing. */
  retries: RetryPolicy | undefined;
  /** Services of its extension providers. */
  providers: readonly ServiceReference[];
  /** It configures networks, and so clusters, besides those of this cluster. */
  hasNetworks: boolean;
};

/** Kinds of object with a default `exportTo` of their own. */
export type ExportedKind = 'service' | 'virtualService' | 'destinationRule';

export const noMeshConfig: MeshConfig = {
  exportTo: { service: [], virtualService: [], destinationRule: [] },
  trustDomainAliases: [],
  autoMtls: true,
  retries: istioRetries,
  providers: [],
  hasNetworks: false,
};

/**
 * Reads the ConfigMap as istiod does (pilot/pkg/model/push_context.go, initDefaultExportMaps). An
 * unreadable one is ignored, as in istiod, which keeps the previous one.
 */
export function readMeshConfig(object: KubeObject): MeshConfig {
  const mesh = parsed(object.data?.mesh);
  const { networks } = parsed(object.data?.meshNetworks);
  const rule = listOf(mesh.defaultDestinationRuleExportTo);
  return {
    exportTo: {
      service: listOf(mesh.defaultServiceExportTo),
      virtualService: listOf(mesh.defaultVirtualServiceExportTo),
      // Of rules istiod honours `.` and `*` only.
      destinationRule: rule.includes('.') ? ['.'] : [],
    },
    trustDomainAliases: textsOf(mesh.trustDomainAliases),
    entryVisibility: readEntryVisibility(mesh.serviceEntryVisibility),
    autoMtls: mesh.enableAutoMtls !== false,
    retries: readRetryPolicy(mesh.defaultHttpRetryPolicy),
    providers: providerReferences(mesh.extensionProviders, object.metadata.name),
    hasNetworks: Object.keys(networks ?? {}).length > 0,
  };
}

/** Empty: everybody. */
function listOf(value: unknown): ExportTo {
  return exportToOf(textsOf(value)) ?? [];
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}

function parsed(text: unknown): Record<string, unknown> {
  try {
    const value: unknown = typeof text === 'string' ? parse(text) : undefined;
    return value !== null && typeof value === 'object' ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
