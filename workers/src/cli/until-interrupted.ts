/** For commands that run until then. */
export async function untilInterrupted(signal: AbortSignal): Promise<undefined> {
  if (signal.aborted) return undefined
  await new Promise<undefined>((resolve) => {
    signal.addEventListener(
      'abort',
      () => {
        resolve(undefined)
      },
      { once: true },
    )
  })
}
