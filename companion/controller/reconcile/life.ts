import type { ShrinkGuard } from '../../core/scope/expiry.ts';
import type { ControllerConfig } from '../../frame/config.ts';

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
