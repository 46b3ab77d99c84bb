/**
 * Installs Debian packages and starts nothing.
 *
 * redis-server and Ceph bring services that their maintainer scripts would start at once and at every boot. Strata
 * starts private servers of its own, and a Redis that the machine runs already must not be touched. So while apt
 * works, two stand-ins come before `invoke-rc.d` and `deb-systemd-invoke` on dpkg's PATH (apt's option DPkg::Path):
 * this reaches only that one apt process, where a policy-rc.d or a masked unit would change the whole machine and
 * be left behind by a crash. Services that came with this installation are disabled afterwards, so that the next
 * boot does not start them either.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { findProgram, lacking } from './find.mjs'
import { say, SetupError } from './say.mjs'

/** @import { Part, Requirement } from './requirements.mjs' */

const noServicesFolder = fileURLToPath(new URL('no-services', import.meta.url))
const dpkgPath = `${noServicesFolder}:/usr/sbin:/usr/bin:/sbin:/bin`
const aptLockWaitSeconds = 300

/** Services that run a daemon without further configuration, by the package that brings them. */
const daemonUnits = { 'redis-server': ['redis-server.service'], 'ceph-base': ['ceph-crash.service'] }

/**
 * Sees to it that everything in these parts can be used.
 *
 * @param {Readonly<Record<string, Part>>} wanted parts by name
 * @param {{ strict: boolean, dryRun: boolean }} options strict: what could be skipped must be there as well (CI)
 */
export function ensureSystemParts(wanted, { strict, dryRun }) {
  /** @type {string[]} */
  const complaints = []
  for (const [name, part] of Object.entries(wanted)) {
    const missing = part.requirements.filter((requirement) => lacking(requirement).length > 0)
    if (missing.length === 0) continue
    if (dryRun) {
      complaints.push(describe(name, part, missing))
      continue
    }
    const reason = install(part, missing)
    const still = part.requirements.filter((requirement) => lacking(requirement).length > 0)
    if (still.length === 0) continue
    const complaint = `${describe(name, part, still)}: ${reason}`
    if (part.required || strict) complaints.push(complaint)
    else say(`going on without ${complaint}. Tests that need it will say that they are skipped.`)
  }
  if (complaints.length > 0) throw new SetupError(`this machine lacks\n  ${complaints.join('\n  ')}`)
}

/**
 * @param {string} name
 * @param {Part} part
 * @param {readonly Requirement[]} missing
 */
function describe(name, part, missing) {
  const items = missing.map(
    (requirement) => `${lacking(requirement).join(', ')} (Debian package ${requirement.debianPackage})`,
  )
  return `${name} [needed to ${part.purpose}]: ${items.join('; ')}`
}

/**
 * @param {Part} part
 * @param {readonly Requirement[]} missing
 * @returns {string} why something may still be missing, in words
 */
function install(part, missing) {
  const packages = missing.map(({ debianPackage }) => debianPackage)
  if (findProgram('apt-get') === undefined || findProgram('dpkg') === undefined) {
    return "no apt-get here, so install it in this system's own way"
  }
  const privilege = rootPrivilege()
  if (privilege === undefined) {
    return `neither root nor sudo, so have somebody run: apt-get install ${packages.join(' ')}`
  }
  say(`installing Debian packages to ${part.purpose}: ${packages.join(' ')}`)
  const installedBefore = Object.keys(daemonUnits).filter(isInstalled)
  if (!aptInstall(privilege, packages)) return 'apt-get failed, see its messages above'
  disableNewServices(privilege, installedBefore)
  return 'apt-get succeeded and yet it cannot be used'
}

/** @returns {string[] | undefined} what to put before a command so that it runs as root */
function rootPrivilege() {
  if (process.getuid?.() === 0) return []
  if (findProgram('sudo') === undefined) return undefined
  // Without a terminal nobody can type a password: sudo must then fail and not wait.
  return process.stdin.isTTY ? ['sudo'] : ['sudo', '-n']
}

/**
 * @param {readonly string[]} privilege
 * @param {readonly string[]} packages
 */
function aptInstall(privilege, packages) {
  const installPackages = () =>
    aptGet(privilege, ['install', '-y', '--no-install-recommends', '-o', `DPkg::Path=${dpkgPath}`, ...packages])
  // Lists that are there may be old: packages that have moved since are found after an update.
  if (hasPackageLists() && installPackages()) return true
  return aptGet(privilege, ['update']) && installPackages()
}

/**
 * @param {readonly string[]} privilege
 * @param {readonly string[]} commandArguments
 */
function aptGet(privilege, commandArguments) {
  const lockWait = `DPkg::Lock::Timeout=${String(aptLockWaitSeconds)}`
  const environment = ['DEBIAN_FRONTEND=noninteractive', 'LC_ALL=C.UTF-8', 'NEEDRESTART_SUSPEND=1']
  return runAsRoot(privilege, ['env', ...environment, 'apt-get', '-q', '-o', lockWait, ...commandArguments])
}

/**
 * @param {readonly string[]} privilege
 * @param {readonly string[]} command
 */
function runAsRoot(privilege, command) {
  const [program = 'env', ...rest] = [...privilege, ...command]
  // What apt says goes to stderr, with the rest of set-up's words.
  return spawnSync(program, rest, { stdio: ['inherit', 2, 2] }).status === 0
}

function hasPackageLists() {
  const folder = '/var/lib/apt/lists'
  return existsSync(folder) && readdirSync(folder).some((name) => /_Packages(\.\w+)?$/.test(name))
}

/** @param {string} debianPackage */
function isInstalled(debianPackage) {
  const query = spawnSync('dpkg-query', ['-W', '-f', '${db:Status-Status}', debianPackage], { encoding: 'utf8' })
  return query.status === 0 && query.stdout === 'installed'
}

/**
 * @param {readonly string[]} privilege
 * @param {readonly string[]} installedBefore packages whose services are somebody else's decision
 */
function disableNewServices(privilege, installedBefore) {
  if (findProgram('systemctl') === undefined) return
  const units = Object.entries(daemonUnits)
    .filter(([debianPackage]) => !installedBefore.includes(debianPackage) && isInstalled(debianPackage))
    .flatMap(([, unitNames]) => unitNames)
  if (units.length === 0) return
  say(`leaving ${units.join(' and ')} disabled: Strata starts private servers only`)
  runAsRoot(privilege, ['systemctl', 'disable', ...units])
}
