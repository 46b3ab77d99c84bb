import { StrataError } from '@strata/shared/errors.ts'
import type { Context, ExitCode } from '../context.ts'
import { checkReportFile, reportVerification, type ReportOptions } from './verify-report.ts'
import { verifyRolling } from './verify-rolling.ts'
import { verify } from './verify.ts'

export interface VerifyCommandOptions extends ReportOptions {
  readonly all?: boolean
  readonly rolling?: boolean
  readonly report?: boolean
  readonly checkReport?: string
  readonly reportKey?: string
}

/** `strata verify`: one of its ways, and no more. */
export async function chooseVerification(
  context: Context,
  point: string | undefined,
  options: VerifyCommandOptions,
): Promise<ExitCode> {
  const { all = false, rolling = false, report = false, checkReport, reportKey, from, to, tenant } = options
  const ways = [point !== undefined, all, rolling, report, checkReport !== undefined].filter(Boolean)
  if (ways.length !== 1) {
    throw new StrataError('E_USAGE', 'verify takes one of POINT, --all, --rolling, --report and --check-report')
  }
  if (!report && (from !== undefined || to !== undefined)) {
    throw new StrataError('E_USAGE', '--from and --to belong to --report')
  }
  if (reportKey !== undefined && checkReport === undefined) {
    throw new StrataError('E_USAGE', '--report-key belongs to --check-report')
  }
  if (report) return await reportVerification(context, options)
  if (checkReport !== undefined) return await checkReportFile(context, checkReport, reportKey)
  if (rolling) return await verifyRolling(context, tenant)
  return await verify(context, point, tenant)
}
