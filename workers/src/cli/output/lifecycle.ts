import type { LifecycleReport } from '../../maintain/lifecycle/bucket-lifecycle.ts'
import { tableLines } from './table.ts'

/** What the rules of a bucket are: ours, those of others, and what these could do. */
export function lifecycleLines({ provider, bucket, rules, foreign, conflicts }: LifecycleReport): string[] {
  if (provider === 'directory') return ['a directory has no rules: the service and each prune delete what is retired']
  const rows = [
    ...rules.map(({ name, state, does }) => [name, state, does]),
    ...foreign.map(({ name }) => {
      const could = conflicts.find((conflict) => conflict.name === name)?.could
      return could === undefined ? [name, 'of others', 'harmless'] : [name, 'CONFLICT', `could ${could.join('; ')}`]
    }),
  ]
  const lines = [bucket, ...tableLines([{ title: 'RULE' }, { title: 'STATE' }, { title: 'WHAT IT DOES' }], rows)]
  return provider === 'azure' ? [...lines, ...azureLines(rules)] : lines
}

/** For whoever brings it to the account another way. That command replaces the whole policy, those of others as well. */
function azureLines(rules: LifecycleReport['rules']): string[] {
  const wanted = rules.filter(({ state }) => state !== 'left-over').map(({ rule }) => rule)
  return [
    '',
    'as the policy of the account, to be put beside the rules of others and given to',
    'az storage account management-policy create --account-name ACCOUNT --resource-group GROUP --policy @FILE',
    JSON.stringify({ rules: wanted }, undefined, 2),
  ]
}
