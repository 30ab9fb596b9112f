import type { ControllerConfig } from '../config.ts';
import type { ShrinkGuard } from '../core/expiry.ts';

/** The times in the life of a scope, in milliseconds, and how fast it may shrink. */
export type Life = {
  learningWindowMs: number;
  ttlMs: number;
  silenceMs: number;
  guard: ShrinkGuard;
};

export type LifeConfig = Pick<
  ControllerConfig,
  'learningWindowSeconds' | 'ttlSeconds' | 'silenceSeconds' | 'shrinkPercent' | 'shrinkCount'
>;

export function lifeOf(config: LifeConfig): Life {
  return {
    learningWindowMs: config.learningWindowSeconds * 1000,
    ttlMs: config.ttlSeconds * 1000,
    silenceMs: config.silenceSeconds * 1000,
    guard: { share: config.shrinkPercent / 100, count: config.shrinkCount },
  };
}
