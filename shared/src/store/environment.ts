/** Where credentials and endpoints are looked up; handed in by the process. */
export type Environment = Readonly<Record<string, string | undefined>>

/** An empty variable counts as none, as a script that fills it from somewhere means it. */
export function variable(env: Environment, name: string): string | undefined {
  const value = env[name]
  return value === '' ? undefined : value
}
