const KiB = 1024

/**
 * Limits that have other values in every process of a scenario (test/end-to-end/preload/limits.mjs): small disks have many
 * segments, and what is noticed after minutes is noticed after seconds. How they relate is as in shared/src/limits.ts,
 * whose assertions hold here as well.
 */
export const shortLimits = {
  blockBytesMax: 256 * KiB,
  segmentBytesMax: 512 * KiB,
  segmentBytesSmall: 512 * KiB,
  retryAfterMsMin: 50,
  retryAfterMsMax: 500,
  retryGraceMs: 500,
  storeRetryFirstDelayMs: 20,
  storeRetryDelayMsMax: 500,
  storeOutageMsMax: 8000,
  storeConnectTimeoutMs: 2000,
  storeRequestTimeoutMs: 2500,
  redisConnectTimeoutMs: 1500,
  redisBeatIntervalMs: 500,
  redisLostMsMax: 3000,
  queueClaimLifeMs: 20_000,
  jobLockMs: 2000,
  jobCheckIntervalMs: 200,
  abandonMsMax: 3000,
  maintainBeatMs: 500,
  serverEventsBeatMs: 1000,
  gatewayConnectionTimeoutMs: 5000,
  gatewayHeadTimeoutMs: 4000,
  gatewayBodyTimeoutMs: 4000,
  serviceIdleTimeoutMs: 6000,
  serviceOutageMsMax: 20_000,
  serviceRetryFirstDelayMs: 50,
  serviceRetryDelayMsMax: 1000,
} as const satisfies Readonly<Record<string, number>>

/** Longer than a job's lock, a request's patience and the guard of Redis. */
export const longPauseMs = 4500
/** One run, whatever goes wrong: after this it should have ended long ago. */
export const runMsMax = 60_000
