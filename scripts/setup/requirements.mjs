/**
 * What each part of the project needs from the machine, beside git, Node 20 and npm.
 *
 * A requirement is met by what can be used, not by a package's name: so a machine that has the programs from
 * elsewhere is left as it is, and one that is not a Debian hears exactly what it lacks.
 *
 * @typedef {object} Requirement
 * @property {string} debianPackage the Debian package that brings it
 * @property {readonly string[]} [programs] all of these must be on PATH or in an sbin folder
 * @property {string} [pythonModule] a module that the system's python3 must be able to import
 *
 * @typedef {object} Part
 * @property {string} purpose ends the sentence "needed to …"
 * @property {boolean} required whether the work cannot start without it; a test suite can be skipped by name instead
 * @property {readonly Requirement[]} requirements
 */

/** @type {Readonly<Record<string, Part>>} */
export const parts = {
  'build-tools': {
    purpose: 'build zstd-napi, which has no prebuilt binaries in its npm package',
    required: true,
    requirements: [
      { debianPackage: 'build-essential', programs: ['g++', 'make'] },
      { debianPackage: 'python3', programs: ['python3'] },
    ],
  },
  redis: {
    purpose: 'run the queue; Strata starts private ones and never uses a system service',
    required: true,
    requirements: [{ debianPackage: 'redis-server', programs: ['redis-server'] }],
  },
  'disk-image': {
    purpose: 'make a disk image with a partition table and a file system, and check what is restored',
    required: true,
    requirements: [
      { debianPackage: 'e2fsprogs', programs: ['mkfs.ext4', 'e2fsck', 'debugfs'] },
      { debianPackage: 'fdisk', programs: ['sfdisk'] },
      { debianPackage: 'gdisk', programs: ['sgdisk'] },
    ],
  },
  'file-systems': {
    purpose: 'make disks as Windows and other Linux systems have them',
    required: false,
    requirements: [
      { debianPackage: 'dosfstools', programs: ['mkfs.fat', 'fsck.fat'] },
      { debianPackage: 'ntfs-3g', programs: ['mkntfs', 'ntfsfix'] },
      { debianPackage: 'xfsprogs', programs: ['mkfs.xfs', 'xfs_repair'] },
      { debianPackage: 'btrfs-progs', programs: ['mkfs.btrfs'] },
      { debianPackage: 'exfatprogs', programs: ['mkfs.exfat'] },
      { debianPackage: 'cryptsetup-bin', programs: ['cryptsetup'] },
      { debianPackage: 'lvm2', programs: ['pvcreate'] },
    ],
  },
  certificates: {
    purpose: 'make the certificates with which agents and service are tested over TLS',
    required: false,
    requirements: [{ debianPackage: 'openssl', programs: ['openssl'] }],
  },
  'nbd-clients': {
    purpose: 'open what Strata serves over NBD with clients of others',
    required: false,
    requirements: [
      { debianPackage: 'libnbd-bin', programs: ['nbdinfo', 'nbdcopy', 'nbdfuse'] },
      { debianPackage: 'fuse3', programs: ['fusermount3'] },
    ],
  },
  'foreign-readers': {
    purpose: 'read what Strata writes with programs that are not Strata',
    required: false,
    requirements: [
      { debianPackage: 'qemu-utils', programs: ['qemu-img', 'qemu-io', 'qemu-nbd'] },
      { debianPackage: 'python3-cryptography', pythonModule: 'cryptography' },
      { debianPackage: 'python3-zstandard', pythonModule: 'zstandard' },
    ],
  },
  's3-server': {
    purpose: 'run a Ceph RGW, the S3 server of the tests',
    required: false,
    requirements: [
      { debianPackage: 'ceph-mon', programs: ['ceph-mon'] },
      { debianPackage: 'ceph-osd', programs: ['ceph-osd'] },
      { debianPackage: 'radosgw', programs: ['radosgw'] },
      { debianPackage: 'ceph-common', programs: ['ceph', 'ceph-authtool', 'radosgw-admin'] },
      { debianPackage: 'ceph-base', programs: ['monmaptool'] },
    ],
  },
  'other-backups': {
    purpose: 'measure against other backup programs',
    required: true,
    requirements: [
      { debianPackage: 'restic', programs: ['restic'] },
      { debianPackage: 'borgbackup', programs: ['borg'] },
      { debianPackage: 'hyperfine', programs: ['hyperfine'] },
      { debianPackage: 'nbdkit', programs: ['nbdkit'] },
      { debianPackage: 'libnbd-bin', programs: ['nbdcopy', 'nbdinfo'] },
    ],
  },
}

/**
 * The parts of each task, in the order in which they are set up. build-tools come first everywhere: the npm
 * packages are installed after all Debian packages, and one of them is compiled.
 *
 * @type {Readonly<Record<string, readonly string[]>>}
 */
export const tasks = {
  check: ['build-tools'],
  test: [
    'build-tools',
    'redis',
    'disk-image',
    'file-systems',
    'certificates',
    'nbd-clients',
    'foreign-readers',
    's3-server',
  ],
  demo: ['build-tools', 'redis', 'disk-image'],
  faults: ['build-tools', 'redis', 's3-server'],
  bench: ['build-tools', 'redis', 'disk-image', 'other-backups'],
}
