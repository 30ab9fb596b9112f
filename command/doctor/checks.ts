import type { Check } from './check.ts';
import { istiodErrors } from './istiod-errors.ts';
import { istiodPushes } from './istiod-pushes.ts';
import { istiodSettings } from './istiod-settings.ts';
import { meshChecks } from './mesh-checks.ts';

/** Every check, by topic. */
export const checks: readonly Check[] = [
  ...[...istiodSettings, ...istiodPushes, ...istiodErrors],
  ...meshChecks,
];
