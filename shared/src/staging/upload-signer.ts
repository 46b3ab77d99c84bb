import type { StagedContent, UploadGrant } from './staging-area.ts'

/** Makes grants out of the store's credentials. */
export interface UploadSigner {
  sign(name: string, content: StagedContent, life: GrantLife): Promise<UploadGrant>
}

/** Whole seconds: what signatures hold. */
export interface GrantLife {
  readonly from: Date
  readonly until: Date
}
