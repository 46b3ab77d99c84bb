import { diskNameCharsMax } from './limits.ts'

/** A disk's name is part of POINT:DISK and of file names, also on systems that know few characters. */
const pattern = /^[A-Za-z0-9][A-Za-z0-9._-]*$/

export function isDiskName(name: string): boolean {
  return pattern.test(name) && name.length <= diskNameCharsMax
}
