import type { Point } from '@strata/shared/repository/points.ts'
import type { PinOptions } from '@strata/shared/repository/retention/pins.ts'
import type { Context } from './context.ts'

/** Keeps a point while a command reads it. */
export function pinFor({ clock, hostName, reporter }: Context, point: Point, doing: string): PinOptions {
  return {
    set: point.set,
    sequences: [point.sequence],
    purpose: `${doing} on ${hostName}`,
    clock,
    onWarning: ({ code, message }) => {
      reporter.warning(`${code}: ${message}`)
    },
  }
}
