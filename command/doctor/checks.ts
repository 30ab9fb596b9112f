import type { Check } from './check.ts';
import { companionChecks } from './companion.ts';
import { deepChecks } from './deep.ts';
import { filterChecks } from './filter.ts';
import { hardwareChecks } from './hardware.ts';
import { istiodErrors } from './istiod-errors.ts';
import { istiodPushes } from './istiod-pushes.ts';
import { istiodSettings } from './istiod-settings.ts';
import { istiodState } from './istiod-state.ts';
import { meshChecks } from './mesh-checks.ts';
import { providerChecks } from './providers.ts';
import { resourceChecks } from './resources.ts';
import { sidecarChecks } from './sidecars.ts';
import { tlsChecks } from './tls.ts';

/** Every check, by topic. */
export const checks: readonly Check[] = [
  ...[...istiodSettings, ...istiodPushes, ...istiodErrors, ...istiodState],
  ...[...meshChecks, ...filterChecks, ...companionChecks],
  ...[...providerChecks, ...resourceChecks, ...sidecarChecks, ...tlsChecks, ...deepChecks],
  ...hardwareChecks,
];
