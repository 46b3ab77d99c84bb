/**
 * Does the work for every item, `countMax` of them at a time. After a failure nothing more is begun, and what is under way
 * is waited for, so that nothing happens behind the back of whoever is told. Throws the first failure.
 */
export async function atOnce<Item>(
  items: readonly Item[],
  countMax: number,
  work: (item: Item, index: number) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = []
  const entries = items.entries()
  const worker = async (): Promise<void> => {
    for (const [index, item] of entries) {
      if (failures.length > 0) return
      await work(item, index).catch((error: unknown) => failures.push(error))
    }
  }
  await Promise.all(Array.from({ length: Math.min(countMax, items.length) }, worker))
  if (failures.length > 0) throw failures[0]
}
