import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stateDir } from './paths.ts';

/** What a running mesh says of itself in its folder. */
export type MeshState = {
  started: string;
  kubectl: string;
  istioctl: string;
  /** Docker archives whose images every node has. */
  archives: string[];
  nodes: { name: string; enter: string[] }[];
};

/** The file exists while a mesh is up. */
export const statePath = join(stateDir, 'mesh.json');

export const readState = () => JSON.parse(readFileSync(statePath, 'utf8')) as MeshState;

export const writeState = (state: MeshState) => writeFileSync(statePath, JSON.stringify(state));
