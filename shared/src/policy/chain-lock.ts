import type { ChainLock } from '../format/manifest.ts'
import type { ObjectLock } from '../store/object-store.ts'
import type { Policy } from './policy.ts'
import { dayMs } from './wall-time.ts'

/**
 * How a chain is locked. Pure. docs/decisions/0026-immutability.md.
 *
 * Each object is locked once, when it becomes part of a point, until the horizon of its chain; and the chain closes so long
 * before its horizon that its last point is protected for as long as its first.
 */

/** For a chain that begins now; undefined: the policy wants no locks. */
export function chainLockFrom({ immutability, chain, retention }: Policy, nowMs: number): ChainLock | undefined {
  if (immutability === undefined) return undefined
  const closesMs = nowMs + chain.ageMsMax
  // A point that its rules let go is there for the undo window.
  const untilMs = closesMs + immutability.days * dayMs + retention.undoWindowMs
  return { ...immutability, closesAt: instant(closesMs), until: instant(untilMs) }
}

export function objectLockOf({ mode, until }: ChainLock): ObjectLock {
  return { mode, untilMs: Date.parse(until) }
}

/** Until when nobody can delete a point that was made then. */
export function pointLockEndMs({ days }: Pick<ChainLock, 'days'>, createdAt: string): number {
  return Date.parse(createdAt) + days * dayMs
}

export function isClosed({ closesAt }: ChainLock, nowMs: number): boolean {
  return nowMs > Date.parse(closesAt)
}

/** Whoever is asked for one of two locks and has to keep both. */
export function strongerLock(a: ObjectLock, b: ObjectLock | undefined): ObjectLock {
  if (b === undefined) return a
  const mode = a.mode === 'compliance' || b.mode === 'compliance' ? 'compliance' : 'governance'
  return { mode, untilMs: Math.max(a.untilMs, b.untilMs) }
}

function instant(ms: number): string {
  return new Date(ms).toISOString()
}
