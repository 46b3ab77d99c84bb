import { StrataError } from '@strata/shared/errors.ts'
import { pointId, type Point } from '@strata/shared/repository/points.ts'
import type { DamageReport } from '../../read/damage.ts'

const namedMax = 5

/** A restore stopped at damage. The report has what was found until then, which need not be all. */
export class PointDamagedError extends StrataError {
  readonly point: Point
  readonly damage: DamageReport

  /** `leftOver`: what the restore leaves at its target, in a sentence. */
  constructor(point: Point, damage: DamageReport, leftOver?: string) {
    const named = damage.ranges.slice(0, namedMax).map(({ disk, offsetBytes, lengthBytes, code, pack }) => {
      const range = `bytes ${String(offsetBytes)} to ${String(offsetBytes + lengthBytes - 1)}`
      return `disk '${disk}', ${range}: ${code} in ${pack}`
    })
    const message = `point ${pointId(point)} cannot be read back whole: ${named.join('; ')}`
    super('E_POINT_DAMAGED', leftOver === undefined ? message : `${message}. ${leftOver}`, {
      details: { point: pointId(point), damage: named },
    })
    this.point = point
    this.damage = damage
  }
}

/** The error that ended a restore, which also says what the restore leaves. */
export function withLeftOver(error: unknown, leftOver: string | null): unknown {
  if (leftOver === null || !(error instanceof StrataError)) return error
  if (error instanceof PointDamagedError) return new PointDamagedError(error.point, error.damage, leftOver)
  return new StrataError(error.code, `${error.message}. ${leftOver}`, {
    cause: error,
    hint: error.hint,
    ...(error.details === undefined ? {} : { details: error.details }),
  })
}
