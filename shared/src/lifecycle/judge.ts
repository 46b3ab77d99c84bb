import { tenantRulesStart, tenantRulePrefix, describeRule, type LifecycleRule } from './rules.ts'

/** What there is in a bucket, compared with what ought to be there. Pure, and of rules in whichever provider's words. */
export interface RuleDialect<Rule> {
  readonly compile: (rule: LifecycleRule) => Rule
  readonly nameOf: (rule: Rule) => string
  readonly isSame: (a: Rule, b: Rule) => boolean
  /** What the names of all our rules of this store begin with. */
  readonly nameStart: string
  /** The name of a rule of ours without `nameStart`, as rules.ts has it. */
  readonly shortNameOf: (name: string) => string
  /** What a rule could do to objects that are needed, and to which; none: it is harmless. */
  readonly dangersOf: (rule: Rule) => readonly string[]
}

export type RuleState =
  | 'as-wanted'
  | 'missing'
  /** It is there under its name, and says something else. */
  | 'outdated'
  /** One of ours that nothing asks for any more. */
  | 'left-over'

export interface OwnRule<Rule> {
  readonly name: string
  readonly state: RuleState
  readonly does: string
  /** What it could do as it is now. It is replaced, so that is no conflict. */
  readonly could: readonly string[]
  /** As it shall be; of one that is left over, as it is. */
  readonly rule: Rule
}

export interface ForeignRule<Rule> {
  readonly name: string
  readonly rule: Rule
}

/** A rule of others that could delete or freeze what is needed. */
export interface RuleConflict<Rule> extends ForeignRule<Rule> {
  readonly could: readonly string[]
}

export interface Judgement<Rule> {
  readonly rules: readonly OwnRule<Rule>[]
  /** All rules of others, those in conflict among them. */
  readonly foreign: readonly ForeignRule<Rule>[]
  readonly conflicts: readonly RuleConflict<Rule>[]
  /** What the bucket would have: the rules of others as they are, and where they are, then ours. */
  readonly next: readonly Rule[]
}

/** @param tenant whose rules are compiled; those of other tenants count as rules of others */
export function judgeRules<Rule>(
  there: readonly Rule[],
  wanted: readonly LifecycleRule[],
  dialect: RuleDialect<Rule>,
  tenant: string | undefined,
): Judgement<Rule> {
  const isOurs = (rule: Rule): boolean => isOursIn(dialect, dialect.nameOf(rule), tenant)
  const others = there.filter((rule) => !isOurs(rule))
  const own = new Map(there.filter(isOurs).map((rule) => [dialect.nameOf(rule), rule]))
  const compiled = wanted.map((rule) => ({ does: describeRule(rule), rule: dialect.compile(rule) }))
  const names = new Set(compiled.map(({ rule }) => dialect.nameOf(rule)))
  const foreign = others.map((rule, index) => ({ name: dialect.nameOf(rule) || `number ${String(index + 1)}`, rule }))
  return {
    rules: [
      ...compiled.map(({ does, rule }) => ownRule(dialect, does, rule, own.get(dialect.nameOf(rule)))),
      ...[...own]
        .filter(([name]) => !names.has(name))
        .map(([name, rule]): OwnRule<Rule> => {
          return { name, state: 'left-over', does: 'nothing asks for it', could: dialect.dangersOf(rule), rule }
        }),
    ],
    foreign,
    conflicts: foreign
      .map((rule) => ({ ...rule, could: dialect.dangersOf(rule.rule) }))
      .filter(({ could }) => could.length > 0),
    next: [...others, ...compiled.map(({ rule }) => rule)],
  }
}

function ownRule<Rule>(dialect: RuleDialect<Rule>, does: string, rule: Rule, there: Rule | undefined): OwnRule<Rule> {
  const name = dialect.nameOf(rule)
  if (there === undefined) return { name, state: 'missing', does, could: [], rule }
  if (dialect.isSame(there, rule)) return { name, state: 'as-wanted', does, could: [], rule }
  return { name, state: 'outdated', does, could: dialect.dangersOf(there), rule }
}

function isOursIn<Rule>(dialect: RuleDialect<Rule>, name: string, tenant: string | undefined): boolean {
  if (!name.startsWith(dialect.nameStart)) return false
  const short = dialect.shortNameOf(name)
  return !short.startsWith(tenantRulesStart) || (tenant !== undefined && short.startsWith(tenantRulePrefix(tenant)))
}

/** Whether two lists have the same rules, in whichever order. */
export function sameRules<Rule>(a: readonly Rule[], b: readonly Rule[], dialect: RuleDialect<Rule>): boolean {
  if (a.length !== b.length) return false
  const left = new Map(b.map((rule) => [dialect.nameOf(rule), rule]))
  return a.every((rule) => {
    const other = left.get(dialect.nameOf(rule))
    return other !== undefined && dialect.isSame(rule, other)
  })
}
