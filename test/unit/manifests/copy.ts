import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { manifests } from './render.ts';

/** A copy of the manifests that one test may change and render. */
export function copyOfManifests(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lazyscope-manifests-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  cpSync(manifests, folder, { recursive: true });
  return folder;
}

export function edit(file: string, change: (text: string) => string): void {
  writeFileSync(file, change(readFileSync(file, 'utf8')));
}
