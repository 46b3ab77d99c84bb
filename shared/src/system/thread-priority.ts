import { constants, getPriority, setPriority } from 'node:os'

/**
 * Other threads of this process go before this one from now on. On Linux a thread has a priority of its own
 * (setpriority(2), "C library/kernel differences"); elsewhere it is the whole process's, and stays as it is.
 */
export function stepBack(): void {
  const { PRIORITY_BELOW_NORMAL } = constants.priority
  if (process.platform === 'linux' && getPriority() < PRIORITY_BELOW_NORMAL) setPriority(PRIORITY_BELOW_NORMAL)
}
