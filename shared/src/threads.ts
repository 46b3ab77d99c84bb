/**
 * Arguments of Node for the threads of our pools. Piscina tries `require` on a thread's module before it imports it;
 * a thread that is ended in the middle of requiring an ES module takes the whole process down with a failed assertion
 * of Node 24. Without that kind of require it goes straight to the import, which can be ended at any moment.
 */
export const threadArguments: readonly string[] = ['--no-experimental-require-module']

/** Longer than any pause of a run: threads go with their pool. */
export const threadIdleMs = 3600_000
