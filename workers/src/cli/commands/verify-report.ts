import { readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { StrataError, systemErrorCode } from '@strata/shared/errors.ts'
import { reportBytesMax, reportPeriodMsDefault, verifyEveryDaysDefault } from '@strata/shared/limits.ts'
import { checkReport, publishedReportKey, publishReportKey, signReport } from '../../maintain/scrub/signed-report.ts'
import { verifyEveryDays } from '../../maintain/scrub/scrub-tenant.ts'
import {
  verificationReport,
  type SetReport,
  type VerificationReport,
} from '../../maintain/scrub/verification-report.ts'
import { exitCodes, type Context, type ExitCode } from '../context.ts'
import { formatBytes, formatCount, formatInstant } from '../output/bytes.ts'
import { factLines, tableLines } from '../output/table.ts'
import { withStore } from '../store.ts'
import { openGivenTenant } from '../unlock.ts'

export interface ReportOptions {
  readonly from?: string
  readonly to?: string
  readonly tenant?: string
}

/** `strata verify --report`: what is known of the verification of a tenant's points, signed. */
export async function reportVerification(context: Context, options: ReportOptions): Promise<ExitCode> {
  return await withStore(context, async (store) => {
    const { repository, keyring } = await openGivenTenant(context, store, options.tenant)
    const toMs = options.to === undefined ? await store.now() : parseDay(options.to, '--to')
    const fromMs = options.from === undefined ? toMs - reportPeriodMsDefault : parseDay(options.from, '--from')
    if (fromMs >= toMs) throw new StrataError('E_USAGE', '--from is not before --to')
    const period = { from: new Date(fromMs).toISOString(), to: new Date(toMs).toISOString() }
    const everyDays = (await verifyEveryDays(repository)) ?? verifyEveryDaysDefault
    const signed = signReport(repository, await verificationReport(repository, keyring.tenantName, everyDays, period))
    await publishReportKey(repository, signed.publicKey)
    context.reporter.result(signed, [
      ...reportLines(signed.report),
      '',
      ...factLines([
        ['key', signed.publicKey],
        ['signature', signed.signature],
      ]),
    ])
    return exitCodes.success
  })
}

/** `strata verify --check-report FILE`. With the key at hand it needs no store. */
export async function checkReportFile(context: Context, path: string, key: string | undefined): Promise<ExitCode> {
  if (key !== undefined && !/^[0-9a-f]{64}$/.test(key))
    throw new StrataError('E_USAGE', '--report-key has 64 hex digits')
  const text = await readReport(resolve(context.workingDirectory, path), path)
  const { report, publicKey } =
    key === undefined
      ? await withStore(context, (store) => checkReport(text, (tenant) => publishedReportKey(store, tenant)))
      : await checkReport(text, () => key)
  context.reporter.result({ valid: true, publicKey, report }, [
    `the report is as the holder of key ${publicKey} has signed it`,
  ])
  return exitCodes.success
}

/** A day in UTC, or an instant. */
function parseDay(text: string, option: string): number {
  const isWritten = /^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]{5,12}Z)?$/.test(text)
  const ms = isWritten ? Date.parse(text) : NaN
  if (Number.isNaN(ms)) throw new StrataError('E_USAGE', `${option} takes a day such as 2026-01-31, not '${text}'`)
  return ms
}

async function readReport(path: string, given: string): Promise<string> {
  try {
    if ((await stat(path)).size > reportBytesMax) throw new StrataError('E_LIMIT', `${given} is too long for a report`)
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof StrataError) throw error
    throw new StrataError('E_CONFIGURATION', `${given} cannot be read (${systemErrorCode(error) ?? 'unknown'})`, {
      cause: error,
    })
  }
}

function reportLines({ tenantName, from, to, madeAt, everyDays, sets }: VerificationReport): string[] {
  return [
    `Verification of ${tenantName}, ${formatInstant(from)} to ${formatInstant(to)}, as of ${formatInstant(madeAt)}`,
    `Everything is to be read once in ${formatCount(everyDays, 'day')}.`,
    '',
    ...tableLines(
      [
        { title: 'SET' },
        { title: 'POINTS', align: 'right' },
        { title: 'STORED', align: 'right' },
        { title: 'IN TIME', align: 'right' },
        { title: 'LONGEST UNREAD SINCE' },
        { title: 'DEEP', align: 'right' },
        { title: 'DAMAGED', align: 'right' },
        { title: 'ENDED', align: 'right' },
        { title: 'GONE', align: 'right' },
      ],
      sets.map(setRow),
    ),
  ]
}

function setRow({ set, points, storedBytes, scrub, deep, damage, ended, retention }: SetReport): string[] {
  const { inTimePercent, oldestUncheckedAt, late } = scrub
  return [
    set,
    String(points),
    formatBytes(storedBytes),
    `${String(inTimePercent)} %`,
    `${oldestUncheckedAt === null ? '?' : formatInstant(oldestUncheckedAt)}${late ? ' (late)' : ''}`,
    String(deep.length),
    String(new Set(damage.flatMap(({ points: hit }) => hit)).size),
    String(ended.length),
    String(retention.gone),
  ]
}
