import type { ForecastMonth } from '@strata/shared/cost/foreseen-months.ts'
import { storedClasses } from '@strata/shared/format/storage-class.ts'
import { requestKinds } from '@strata/shared/format/usage.ts'
import type { CostOfSet, CostReport } from './cost.ts'

const columns = [
  'kind',
  'tenant',
  'set',
  'set_id',
  'month',
  'currency',
  ...storedClasses.map((name) => `stored_bytes_${name.replaceAll('-', '_')}`),
  ...requestKinds.map((kind) => `requests_${kind}`),
  'bytes_sent',
  'bytes_received',
  'cost_storage',
  'cost_requests',
  'cost_moved',
  'cost_total',
]

type Row = Readonly<Record<string, string | number>>

/** A line for each set, and with a forecast one for each set and month: as RFC 4180 has it, but with line feeds alone. */
export function costCsv(report: CostReport): string[] {
  const { sets, forecast } = report
  const rows = [
    ...sets.map((set) => actualRow(report, set)),
    ...(forecast?.sets ?? []).flatMap(({ name, months }) => months.map((month) => forecastRow(report, name, month))),
  ]
  return [columns.join(','), ...rows.map((row) => columns.map((column) => csvField(row[column] ?? '')).join(','))]
}

function actualRow({ tenant, month, currency }: CostReport, { set, name, usage, stored, cost }: CostOfSet): Row {
  return {
    ...{ kind: 'actual', tenant, set: name ?? '', set_id: set ?? '', month: month.month, currency },
    ...Object.fromEntries(
      storedClasses.map((one) => [`stored_bytes_${one.replaceAll('-', '_')}`, stored[one]?.bytes ?? 0]),
    ),
    ...Object.fromEntries(requestKinds.map((kind) => [`requests_${kind}`, usage.requests[kind]])),
    bytes_sent: usage.bytesSent,
    bytes_received: usage.bytesReceived,
    ...costMembers(cost),
  }
}

function forecastRow({ tenant, currency }: CostReport, set: string, month: ForecastMonth): Row {
  const { bytesByClass, requests, moved, cost } = month
  return {
    ...{ kind: 'forecast', tenant, set, set_id: '', month: month.month, currency },
    ...Object.fromEntries(
      storedClasses.map((one) => [`stored_bytes_${one.replaceAll('-', '_')}`, Math.round(bytesByClass[one])]),
    ),
    ...Object.fromEntries(requestKinds.map((kind) => [`requests_${kind}`, Math.round(requests[kind])])),
    bytes_sent: Math.round(moved.inBytes),
    bytes_received: Math.round(moved.outBytes),
    ...costMembers(cost),
  }
}

function costMembers({ storage, requests, moved, total }: CostOfSet['cost']) {
  return { cost_storage: storage, cost_requests: requests, cost_moved: moved, cost_total: total }
}

/** Names come from endpoints: what a spreadsheet would take for a formula is made text. */
function csvField(value: string | number): string {
  if (typeof value === 'number') return String(value)
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
