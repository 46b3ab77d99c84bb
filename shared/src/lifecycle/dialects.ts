import { azureDangers } from './azure-dangers.ts'
import { azureRuleNameStart, azureRuleOf, sameAzureRule, shortNameOfAzureRule, type AzureRule } from './azure-rules.ts'
import type { RuleDialect } from './judge.ts'
import { s3Dangers } from './s3-dangers.ts'
import { s3RuleIdStart, s3RuleOf, sameS3Rule, type S3Rule } from './s3-rules.ts'
import type { LifecycleScope } from './scope.ts'

/** The words of each provider for the rules of one store. @param scope its `prefix` is that of the store */
export function s3Dialect(scope: LifecycleScope): RuleDialect<S3Rule> {
  const { prefix } = scope
  const nameStart = s3RuleIdStart(prefix)
  return {
    compile: (rule) => s3RuleOf(rule, prefix),
    nameOf: ({ ID = '' }) => ID,
    isSame: sameS3Rule,
    nameStart,
    shortNameOf: (name) => name.slice(nameStart.length),
    dangersOf: (rule) => s3Dangers(rule, scope),
  }
}

export function azureDialect(container: string, scope: LifecycleScope): RuleDialect<AzureRule> {
  const place = `${container}/${scope.prefix}`
  return {
    compile: (rule) => azureRuleOf(rule, container, scope.prefix),
    nameOf: ({ name }) => name,
    isSame: sameAzureRule,
    nameStart: azureRuleNameStart(place),
    shortNameOf: (name) => shortNameOfAzureRule(name, place),
    dangersOf: (rule) => azureDangers(rule, { ...scope, prefix: place }),
  }
}
