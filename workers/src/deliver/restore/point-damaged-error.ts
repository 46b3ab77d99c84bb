import { StrataError } from '@strata/shared/errors.ts'
import { pointId, type Point } from '@strata/shared/repository/points.ts'
import type { DamageReport } from '../../read/damage.ts'

const namedMax = 5

/** A restore stopped at damage. The report has what was found until then, which need not be all. */
export class PointDamagedError extends StrataError {
  readonly damage: DamageReport

  constructor(point: Point, damage: DamageReport, leftOver: string) {
    const named = damage.ranges.slice(0, namedMax).map(({ disk, offsetBytes, lengthBytes, code, pack }) => {
      const range = `bytes ${String(offsetBytes)} to ${String(offsetBytes + lengthBytes - 1)}`
      return `disk '${disk}', ${range}: ${code} in ${pack}`
    })
    super('E_POINT_DAMAGED', `point ${pointId(point)} cannot be read back whole: ${named.join('; ')}. ${leftOver}`, {
      details: { point: pointId(point), damage: named },
    })
    this.damage = damage
  }
}
