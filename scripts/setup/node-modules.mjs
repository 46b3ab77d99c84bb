/**
 * Installs the npm packages exactly as package-lock.json has them, and downloads nothing that is not one of them:
 * - zstd-napi would first look for a prebuilt binary elsewhere; `.prebuild-installrc` beside package.json tells it
 *   to build from source.
 * - node-gyp would fetch the headers of Node; the pinned Node's own package has them, and npm runs every package's
 *   preinstall (which brings that one) before it runs any package's install (which compiles).
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { pinnedNode, projectRoot } from '../pinned-node.mjs'
import { say, SetupError } from './say.mjs'

/** @typedef {{ version?: string, optional?: boolean, link?: boolean }} LockedPackage */

const compiledAddOn = join(projectRoot, 'node_modules/zstd-napi/build/Release/binding.node')

/** @param {{ dryRun: boolean }} options */
export function ensureNodeModules({ dryRun }) {
  const reason = reasonToInstall()
  if (reason === undefined) return
  if (dryRun) throw new SetupError(`the npm packages have to be installed: ${reason}`)
  say(`installing npm packages: ${reason}`)
  // Its warnings are about packages that want a newer Node than this machine's: they run on the pinned one.
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: projectRoot,
    env: installEnvironment(),
    stdio: ['inherit', 2, 2],
  })
  if (status !== 0) throw new SetupError('npm ci failed, see its messages above')
  const missing = [pinnedNode, compiledAddOn].filter((path) => !existsSync(path))
  if (missing.length > 0) {
    throw new SetupError(
      `npm ci left out ${missing.join(' and ')}. Does npm's configuration switch install scripts off (ignore-scripts)?`,
    )
  }
}

/** @returns {string | undefined} why the installed packages are not those of the lock file, or undefined if they are */
function reasonToInstall() {
  const installedLock = join(projectRoot, 'node_modules/.package-lock.json')
  if (!existsSync(installedLock)) return 'none are installed yet'
  const installed = readPackages(installedLock)
  const differs = Object.entries(readPackages(join(projectRoot, 'package-lock.json'))).find(
    ([path, locked]) => path.startsWith('node_modules/') && !agrees(locked, installed[path]),
  )
  if (differs !== undefined) return `${differs[0]} is not as package-lock.json has it`
  const absent = [pinnedNode, compiledAddOn].find((path) => !existsSync(path))
  return absent === undefined ? undefined : `${absent} is missing`
}

/**
 * @param {LockedPackage} locked
 * @param {LockedPackage | undefined} installed
 */
function agrees(locked, installed) {
  // Optional packages are binaries for one platform each: npm leaves out those of the others.
  if (installed === undefined) return locked.optional === true
  return locked.version === installed.version && locked.link === installed.link
}

/**
 * @param {string} lockFile
 * @returns {Record<string, LockedPackage>}
 */
function readPackages(lockFile) {
  /** @type {{ packages: Record<string, LockedPackage> }} */
  // eslint-disable-next-line @typescript-eslint/no-unsafe-assignment -- npm wrote it, and npm reads it after us
  const lock = JSON.parse(readFileSync(lockFile, 'utf8'))
  return lock.packages
}

/** @returns {NodeJS.ProcessEnv} */
function installEnvironment() {
  const headers = join(projectRoot, `node_modules/node/node_modules/node-${process.platform}-${process.arch}`)
  // `npm run` puts node_modules/.bin first, where a Node lies that npm ci is about to remove: npm must run on the
  // machine's own.
  const aboutToGo = join(projectRoot, 'node_modules')
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => !folder.startsWith(aboutToGo))
  const environment = { ...process.env, PATH: folders.join(delimiter) }
  // node-gyp reads the one name since npm 11, which warns about the other, and the other before.
  const nodeGypSetting =
    npmMajorVersion(environment) >= 11 ? 'npm_package_config_node_gyp_nodedir' : 'npm_config_nodedir'
  return { ...environment, [nodeGypSetting]: headers }
}

/** @param {NodeJS.ProcessEnv} environment */
function npmMajorVersion(environment) {
  const { stdout, status } = spawnSync('npm', ['--version'], { cwd: projectRoot, env: environment, encoding: 'utf8' })
  if (status !== 0) throw new SetupError('npm is not on PATH; install it together with Node 20 or later')
  return Number.parseInt(stdout, 10)
}
