/** Classes that are colder than the standard one, the coldest last. */
export const colderClasses = ['infrequent', 'archive-instant', 'archive', 'deep-archive'] as const
export type ColderClass = (typeof colderClasses)[number]

/** What lies in one of these must be thawed before it can be read. */
export const archiveClasses: ReadonlySet<StoredClass> = new Set(['archive', 'deep-archive'])

export type StoredClass = 'standard' | ColderClass
/** The coldest last. */
export const storedClasses: readonly StoredClass[] = ['standard', ...colderClasses]

const s3Classes: Readonly<Record<string, ColderClass>> = {
  STANDARD_IA: 'infrequent',
  ONEZONE_IA: 'infrequent',
  GLACIER_IR: 'archive-instant',
  GLACIER: 'archive',
  DEEP_ARCHIVE: 'deep-archive',
}

const azureTiers: Readonly<Record<string, ColderClass>> = {
  Cool: 'infrequent',
  Cold: 'archive-instant',
  Archive: 'archive',
}

/** undefined: the standard class, or one that the store moves objects out of and into by itself. */
export function classOfS3(storageClass: string | undefined): ColderClass | undefined {
  return s3Classes[storageClass ?? '']
}

/** As `classOfS3`. */
export function classOfAzure(accessTier: string | undefined): ColderClass | undefined {
  return azureTiers[accessTier ?? '']
}
