/** A session of the server, for people; of others' sessions it shows only a part to most roles. */

/** A row with pid, role, state and, of its transaction, age or since (its begin), as text. */
type SessionRow = Readonly<Record<string, string | null>>

/** "process 12 (role app, active, for 00:01:10)"; `who` takes the place of role and state. */
export function shownSession(row: SessionRow, who?: string): string {
  const [role, state] = [row['role'] ?? '', row['state'] ?? '']
  const [age, since] = [row['age'] ?? '', row['since'] ?? '']
  const parts = [
    who ?? (role === '' ? '' : `role ${role}`),
    who === undefined ? state : '',
    age === '' ? '' : `for ${age}`,
    since === '' ? '' : `since ${since}`,
    // What a role without it may not see the server gives as NULL.
    state + age + since === '' ? 'pg_read_all_stats lets our role see more' : '',
  ]
  return `process ${row['pid']} (${parts.filter((part) => part !== '').join(', ')})`
}
