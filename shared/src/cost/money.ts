const digitsMin = 2
const digitsMax = 4

/** An amount for a person: `12.35 USD`, and of less than a cent `0.0012 USD`. Only here is it rounded. */
export function moneyText(amount: number, currency: string): string {
  const digits = amount !== 0 && Math.abs(amount) < 0.01 ? digitsMax : digitsMin
  return `${amount.toFixed(digits)} ${currency}`
}
