import type { Damage, DamageReport } from '../../read/damage.ts'
import { formatBytes, formatCount, shownIdChars } from './bytes.ts'
import { printable } from './printable.ts'
import { tableLines } from './table.ts'

/** Damage as `restore` and `verify` find it; only the latter knows whose else it is. */
type ShownDamage = Damage & { readonly points?: readonly string[] }

/** What is lost, range by range; then the objects at fault, whose names are long and come again and again. */
export function damageLines(
  damage: Omit<DamageReport, 'ranges'> & { readonly ranges: readonly ShownDamage[] },
): string[] {
  if (damage.ranges.length === 0) return []
  const objects = [...new Set(damage.ranges.map(({ pack }) => pack))]
  const rows = damage.ranges.map((range) => [
    range.disk,
    String(range.offsetBytes),
    formatBytes(range.lengthBytes),
    range.blocks === 1 ? String(range.block) : `${String(range.block)}–${String(range.block + range.blocks - 1)}`,
    range.code,
    String(objects.indexOf(range.pack) + 1),
    shownPoints(range.points ?? []),
  ])
  const table = tableLines(
    [
      { title: 'DISK' },
      { title: 'OFFSET', align: 'right' },
      { title: 'LENGTH', align: 'right' },
      { title: 'BLOCKS' },
      { title: 'CAUSE' },
      { title: 'OBJECT', align: 'right' },
      { title: damage.ranges.some(({ points }) => points !== undefined) ? 'POINTS' : '' },
    ],
    rows,
  )
  const more = damage.truncated ? [`… and more: ${formatCount(damage.blocks, 'block')} in all`] : []
  return ['', ...table, ...more, '', ...objects.map((name, index) => `object ${String(index + 1)}: ${printable(name)}`)]
}

const pointsShownMax = 3

export function shownPoints(points: readonly string[]): string {
  const shown = points.slice(0, pointsShownMax).map((point) => point.slice(0, shownIdChars))
  const more = points.length > pointsShownMax ? [`and ${String(points.length - pointsShownMax)} more`] : []
  return [...shown, ...more].join(' ')
}
