import type { ObjectStore } from '../store/object-store.ts'

/**
 * Where agents put sealed segments, without credentials of their own: a bucket or container (or a prefix of one) beside
 * the repository's, without versions and locks, whose lifecycle rule removes after days what the sweeper has missed.
 * docs/staging.md says how to set one up. What is relied on:
 *
 * - **One object a grant.** A grant lets its holder create one object under one name, and nothing else: not read, list,
 *   delete, nor write another name. It ends by itself.
 * - **Created once.** Of all uploads with one grant exactly one succeeds; what is there is not replaced. (A Ceph RGW
 *   breaks this for a holder who forges a copy; see s3-signer.ts.)
 * - **Whole or not there**, and durable when the upload's answer has arrived or `check` has seen it: as in ObjectStore.
 *
 * What is in an object is vouched for as far as the store can:
 *
 * |                                | length                                 | SHA-256                               |
 * | ------------------------------ | -------------------------------------- | ------------------------------------- |
 * | S3 (AWS)                       | signed: another one is refused         | signed, compared by the store, kept   |
 * | S3 (Ceph RGW 16)               | signed: another one is refused         | signed; neither compared nor kept     |
 * | S3 with checksums=when_required| signed: another one is refused         | not sent                              |
 * | Azure                          | anything is taken; `check` compares it | not sent: Azure knows no SHA-256      |
 *
 * So that a segment is the right one is known only to whoever opens its seal. `check` and signatures find what was cut
 * off, mixed up or damaged on its way while its sender is still there to send it again; they keep nobody from staging
 * garbage of the right length.
 */
export interface StagingArea extends Pick<ObjectStore, 'description' | 'get' | 'list' | 'now' | 'close'> {
  /**
   * A permission to create the object `name`, a name of names.ts, with exactly this content. The store is not asked
   * (an identity service may be, for credentials to sign with). It can be used at once also where this machine's clock
   * is up to `clockSkewWarnMs` ahead of the store's, and for `lifeMs` after that, at most `uploadGrantLifeMsMax`: an
   * upload must have begun by then, not ended. E_STORE_DENIED: nothing to sign with.
   */
  grant(name: string, content: StagedContent, lifeMs: number): Promise<UploadGrant>

  /** Whether an object is there, and as far as the store can tell with this content. undefined: it is not there. */
  check(name: string, content: StagedContent): Promise<'whole' | 'different' | undefined>

  /**
   * Removes an object, whatever its uploader made of it; removing what is not there is no error. Only names of names.ts:
   * a staging area that shares its bucket with something else never harms that.
   */
  delete(name: string): Promise<void>

  /** Throws E_STORE_UNCONDITIONAL unless the store creates an object only once; see store/conditional-probe.ts. */
  probe(): Promise<void>
}

export interface StagedContent {
  /** At least 1. */
  readonly bytes: number
  /** 32 bytes. */
  readonly sha256: Uint8Array
}

export interface UploadGrant {
  readonly method: 'PUT'
  /** A credential: whoever has it can create the object. Its query never goes into a log or a message. */
  readonly url: string
  /** To be sent as they are, names in lower case. No others of the store's own (x-amz-, x-ms-) may be added. */
  readonly headers: Readonly<Record<string, string>>
  /** ms since 1970 by the clock of the machine that granted it; earlier than asked for where credentials end earlier. */
  readonly expiresAtMs: number
}
