/**
 * Set-up talks on stderr only: the standard output of `npm run demo` or `npm test` belongs to the work.
 *
 * @param {string} line
 */
export function say(line) {
  process.stderr.write(`set-up: ${line}\n`)
}

/** Something that a person has to do before set-up can go on; printed without a stack. */
export class SetupError extends Error {}
