/**
 * Joins the ranges that somebody wants into fewer, larger reads. Pure.
 *
 * Ranges that follow each other in one object become one read; a gap up to `gapBytesMax` between them is read along
 * and thrown away, which costs less than another request.
 */
export interface WantedRange {
  readonly object: string
  readonly offset: number
  readonly length: number
}

export interface PlannedRead<T extends WantedRange> {
  readonly object: string
  readonly offset: number
  readonly length: number
  /** By ascending offset. */
  readonly wanted: readonly T[]
}

export interface RangePlanLimits {
  readonly readBytesMax: number
  readonly gapBytesMax: number
}

/** The reads, in the order in which their first ranges were wanted. A range longer than `readBytesMax` is read alone. */
export function planReads<T extends WantedRange>(ranges: Iterable<T>, limits: RangePlanLimits): PlannedRead<T>[] {
  const byObject = new Map<string, { range: T; position: number }[]>()
  let position = 0
  for (const range of ranges) {
    const list = byObject.get(range.object)
    if (list === undefined) byObject.set(range.object, [{ range, position }])
    else list.push({ range, position })
    position += 1
  }
  const reads: { read: PlannedRead<T>; position: number }[] = []
  for (const [object, list] of byObject) {
    list.sort((a, b) => a.range.offset - b.range.offset)
    let wanted: T[] = []
    let start = 0
    let end = 0
    let first = 0
    const close = (): void => {
      if (wanted.length > 0)
        reads.push({ read: { object, offset: start, length: end - start, wanted }, position: first })
    }
    for (const { range, position: rank } of list) {
      const rangeEnd = Math.max(end, range.offset + range.length)
      if (wanted.length > 0 && range.offset - end <= limits.gapBytesMax && rangeEnd - start <= limits.readBytesMax) {
        wanted.push(range)
        end = rangeEnd
        first = Math.min(first, rank)
      } else {
        close()
        wanted = [range]
        start = range.offset
        end = range.offset + range.length
        first = rank
      }
    }
    close()
  }
  return reads.sort((a, b) => a.position - b.position).map(({ read }) => read)
}
