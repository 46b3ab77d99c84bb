/**
 * Loaded into a run of the program with NODE_OPTIONS=--import: its clock is wrong by STRATA_TEST_CLOCK_SHIFT_MS, in every
 * process of the run. The store's time, which a directory store takes from its file system, is not.
 */
const shiftMs = Number(process.env['STRATA_TEST_CLOCK_SHIFT_MS'] ?? '0')
const now = Date.now.bind(Date)

Date.now = () => now() + shiftMs
