import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** @import { Requirement } from './requirements.mjs' */

/** Folders that an ordinary user's PATH lacks on Debian, though mkfs, sgdisk and the like can be run from there. */
const systemFolders = ['/usr/local/sbin', '/usr/sbin', '/sbin']

/** Debian's Python modules are for Debian's interpreter, which another python3 on PATH may hide. */
const debianPython = '/usr/bin/python3'

/**
 * @param {string} name
 * @returns {string | undefined} the path of an executable file
 */
export function findProgram(name) {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...systemFolders]
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find(isExecutableFile)
}

/**
 * @param {Requirement} requirement
 * @returns {string[]} what of it this machine lacks, in words; empty when nothing
 */
export function lacking({ programs = [], pythonModule }) {
  const lackingPrograms = programs.filter((program) => findProgram(program) === undefined)
  if (pythonModule !== undefined && !canImport(pythonModule)) lackingPrograms.push(`Python module ${pythonModule}`)
  return lackingPrograms
}

/** @param {string} path */
function isExecutableFile(path) {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    // Absent, or not ours to run: either way this path is not the program.
    return false
  }
}

/** @param {string} pythonModule */
function canImport(pythonModule) {
  const python = existsSync(debianPython) ? debianPython : 'python3'
  return spawnSync(python, ['-c', `import ${pythonModule}`], { stdio: 'ignore' }).status === 0
}
