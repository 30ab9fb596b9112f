import { parse } from 'yaml';
import type { KubeObject } from '../../kube/object.ts';
import type { ExportTo } from './records.ts';

/** What is read of the mesh configuration: who sees objects that do not say so themselves. */
export type MeshConfig = { exportTo: Record<ExportedKind, ExportTo> };

/** Kinds of object with a default `exportTo` of their own. */
export type ExportedKind = 'service' | 'virtualService' | 'destinationRule';

export const noMeshConfig: MeshConfig = {
  exportTo: { service: [], virtualService: [], destinationRule: [] },
};

/**
 * Reads the ConfigMap, as istiod does (pilot/pkg/model/push_context.go, initDefaultExportMaps). One that
 * cannot be read means nothing, as to istiod, which keeps to what it had.
 */
export function readMeshConfig(object: KubeObject): MeshConfig {
  const mesh = parsed(object.data?.mesh);
  const rule = listOf(mesh.defaultDestinationRuleExportTo);
  return {
    exportTo: {
      service: listOf(mesh.defaultServiceExportTo),
      virtualService: listOf(mesh.defaultVirtualServiceExportTo),
      // Of rules istiod honours `.` and `*` only.
      destinationRule: rule.includes('.') ? ['.'] : [],
    },
  };
}

/** Empty: everybody. */
function listOf(value: unknown): ExportTo {
  const list = Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
  return list.includes('*') ? [] : list;
}

function parsed(text: unknown): Record<string, unknown> {
  try {
    const value: unknown = typeof text === 'string' ? parse(text) : undefined;
    return value !== null && typeof value === 'object' ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
