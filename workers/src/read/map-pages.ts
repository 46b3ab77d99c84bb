import { invariant, type StrataError } from '@strata/shared/errors.ts'
import type { Page } from '@strata/shared/format/page.ts'
import { readWindowPagesMax } from '@strata/shared/limits.ts'
import type { PointMap } from '@strata/shared/repository/point-map.ts'
import { isDamage } from './damage.ts'

/** A page, or why it cannot be read. */
export type PageReading =
  { readonly number: number; readonly page: Page } | { readonly number: number; readonly error: StrataError }

/**
 * The pages of the given ascending numbers, in order. A page that is damaged hides no other: after the first, those
 * that were asked for with it are read one by one.
 */
export async function* readPages(
  map: PointMap,
  disk: number,
  numbers: readonly number[],
): AsyncGenerator<PageReading, undefined> {
  for (let at = 0; at < numbers.length; at += readWindowPagesMax) {
    const window = numbers.slice(at, at + readWindowPagesMax)
    let given = 0
    try {
      for await (const page of map.pages(disk, window)) {
        given += 1
        yield { number: page.number, page }
      }
    } catch (error) {
      if (!isDamage(error)) throw error
    }
    for (const number of window.slice(given)) yield await readPage(map, disk, number)
  }
}

async function readPage(map: PointMap, disk: number, number: number): Promise<PageReading> {
  try {
    for await (const page of map.pages(disk, [number])) return { number, page }
  } catch (error) {
    if (isDamage(error)) return { number, error }
    throw error
  }
  invariant(false, `page ${String(number)} was neither read nor damaged`)
}

/** A node, or why it cannot be read. */
export async function readNode(
  map: PointMap,
  disk: number,
  number: number,
): Promise<{ readonly node: Page } | { readonly error: StrataError }> {
  try {
    return { node: await map.node(disk, number) }
  } catch (error) {
    if (isDamage(error)) return { error }
    throw error
  }
}
