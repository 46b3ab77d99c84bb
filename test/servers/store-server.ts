/** What a server for a cloud store gives to tests, the demo and the benchmark. */
export interface StoreServer {
  /** Where it answers: an origin, for Azurite with the account's name as its path. */
  readonly endpoint: string
  /** The variables that openStore needs to get in. */
  readonly env: Readonly<Record<string, string>>
  /** A URL for openStore. @param bucket a bucket or container that exists */
  storeUrl(bucket: string, prefix?: string): string
  /** Creates a bucket or container. */
  createBucket(bucket: string): Promise<void>
  /** Ends the server; everything in it is lost. */
  stop(): Promise<void>
}
