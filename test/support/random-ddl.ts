/**
 * Random but repeatable statements that change a few tables and their rows: transactions with rows
 * before and after, savepoints and rollbacks. Every statement can be executed. The last table is
 * partitioned, on two levels, and its partitions come, go and are written anew.
 */
import type { Random } from './random.ts'

interface Column {
  readonly name: string
  readonly type: string
  readonly isKey: boolean
  readonly isRequired: boolean
}

interface Table {
  readonly name: string
  readonly columns: readonly Column[]
  /** Of a partitioned table: how many were made for keys from 100 on. */
  readonly partitions?: number
}

const types = ['text', 'varchar(8)', 'numeric(8,2)', 'int', 'bool', 'timestamp', 'numeric'] as const

const initial: readonly Column[] = [
  { name: 'id', type: 'int', isKey: true, isRequired: true },
  { name: 'a', type: 'text', isKey: false, isRequired: false },
  { name: 'b', type: 'varchar(8)', isKey: false, isRequired: false },
  { name: 'c', type: 'numeric(8,2)', isKey: false, isRequired: false },
]

const partitioned = ` PARTITION BY RANGE (id);
  CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (MINVALUE) TO (4);
  CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (4) TO (100) PARTITION BY RANGE (id);
  CREATE TABLE p21 (junk int, c numeric(8,2), b varchar(8), id int NOT NULL, a text);
  ALTER TABLE p21 DROP COLUMN junk;
  ALTER TABLE p2 ATTACH PARTITION p21 FOR VALUES FROM (4) TO (8);
  CREATE TABLE p22 PARTITION OF p2 DEFAULT`
const leaves = ['p1', 'p21', 'p22'] as const

const names = ['a', 'b', 'c', 'd', 'e', 'f'] as const

export class RandomDdl {
  readonly #random: Random
  #tables: readonly Table[]
  /** Statements that change a table's columns, committed or not. */
  changes = 0

  constructor(random: Random, tableCount = 2, { hasPartitions = true } = {}) {
    this.#random = random
    const numbers = Array.from({ length: tableCount }, (_, n) => n)
    const plain = numbers.map((n) => ({ name: `t${n}`, columns: initial }))
    this.#tables = hasPartitions
      ? [...plain, { name: 'p', columns: initial, partitions: 0 }]
      : plain
  }

  get tableNames(): readonly string[] {
    return this.#tables.map(({ name }) => name)
  }

  create(): string {
    return this.#tables
      .map(
        ({ name, partitions }) =>
          `CREATE TABLE ${name} (id int PRIMARY KEY, a text, b varchar(8), c numeric(8,2))${partitions === undefined ? '' : partitioned};
          INSERT INTO ${name} SELECT g, 'a' || g, NULL, g FROM generate_series(1, 5) g;`,
      )
      .join('\n')
  }

  /** One or more statements to be sent in one go; each list is one message. */
  script(): string {
    if (this.#random.chance(0.05)) {
      const { name, partitions } = this.#random.pick(this.#tables)
      const isPart = partitions !== undefined && this.#random.chance(0.5)
      return `VACUUM FULL ${isPart ? this.#random.pick(leaves) : name}`
    }
    const before = this.#tables
    const parts = ['BEGIN', ...this.#statements(4)]
    if (this.#random.chance(0.3)) {
      const saved = this.#tables
      parts.push('SAVEPOINT s', ...this.#statements(3))
      if (this.#random.chance(0.5)) {
        parts.push('ROLLBACK TO s')
        this.#tables = saved
      }
      parts.push(...this.#statements(2))
    }
    if (this.#random.chance(0.15)) {
      this.#tables = before
      parts.push('ROLLBACK')
    } else parts.push('COMMIT')
    return parts.join(';\n')
  }

  #statements(most: number): string[] {
    const count = this.#random.int(0, most)
    return Array.from({ length: count + 1 }, () =>
      this.#random.chance(0.3) ? this.#alter() : this.#row(),
    )
  }

  #row(): string {
    const { name, columns } = this.#random.pick(this.#tables)
    const key = columns.find(({ isKey }) => isKey)?.name ?? 'id'
    const id = this.#random.int(1, 12)
    const others = columns.filter(({ isKey }) => !isKey)
    const changed = this.#random.pick([...others, columns[0]])
    switch (this.#random.int(0, 8)) {
      case 0:
        return `DELETE FROM ${name} WHERE ${key} = ${id}`
      case 1:
        return `UPDATE ${name} SET ${key} = ${id} WHERE ${key} = ${this.#random.int(1, 12)} AND NOT EXISTS (SELECT FROM ${name} WHERE ${key} = ${id})`
      case 2:
        if (this.#random.chance(0.15)) return `TRUNCATE ${name}`
        break
      case 3:
      case 4:
        if (changed !== undefined && !changed.isKey)
          return `UPDATE ${name} SET ${changed.name} = ${this.#value(changed)} WHERE ${key} >= ${id}`
        break
      default:
    }
    return this.#insert({ name, columns }, id)
  }

  #insert({ name, columns }: Table, id: number): string {
    const key = columns.find(({ isKey }) => isKey)?.name ?? 'id'
    const given = columns.filter(
      ({ isKey, isRequired }) => !isKey && (isRequired || this.#random.chance(0.7)),
    )
    const list = [key, ...given.map((column) => column.name)]
    const values = [String(id), ...given.map((column) => this.#value(column))]
    return `INSERT INTO ${name} (${list.join(', ')}) VALUES (${values.join(', ')}) ON CONFLICT DO NOTHING`
  }

  #value({ type, isRequired }: Column): string {
    const random = this.#random
    if (!isRequired && random.chance(0.15)) return 'NULL'
    const kind = type.replace(/\(.*/, '')
    switch (kind) {
      case 'int':
      case 'bigint':
        return String(random.int(-5, 100))
      case 'numeric':
        return `${random.int(-500, 500)}.${random.int(0, 10)}`
      case 'bool':
        return random.pick(['true', 'false'])
      case 'timestamp':
        return `'20${random.int(10, 30)}-01-02 03:04:05.${random.int(1, 10)}'`
      default:
        return random.chance(0.05) && kind === 'text'
          ? `repeat('${random.int(0, 10)}x', 3000)`
          : `'${random.pick(['x', 'ö', "it''s", '', '{,}', 'NULL'])}${random.int(0, 9)}'`
    }
  }

  #alter(): string {
    this.changes++
    const table = this.#random.pick(this.#tables)
    if (table.partitions !== undefined && this.#random.chance(0.2)) return this.#partition(table)
    const others = table.columns.filter(({ isKey }) => !isKey)
    const one = others[this.#random.int(0, others.length)]
    const free = names.filter((name) => !table.columns.some((column) => column.name === name))
    const kind = this.#random.int(0, 12)
    if (one === undefined || (kind < 4 && free.length > 0)) {
      return this.#add(table, this.#random.pick(free.length === 0 ? ['z'] : free))
    }
    if (kind < 6) return this.#drop(table, one)
    if (kind < 8 && free.length > 0) return this.#rename(table, one, this.#random.pick(free))
    if (kind === 8) {
      const key = table.columns.find(({ isKey }) => isKey)
      if (key !== undefined) return this.#rename(table, key, key.name === 'id' ? 'key' : 'id')
    }
    if (kind === 9)
      return `ALTER TABLE ${table.name} ALTER ${one.name} SET STATISTICS ${this.#random.int(1, 99)}`
    if (kind === 10 && one.type === 'text') {
      return `ALTER TABLE ${table.name} ALTER ${one.name} TYPE text USING upper(${one.name})`
    }
    return this.#widen(table, one)
  }

  #partition(table: Table): string {
    const { partitions = 0 } = table
    const apart = 'ALTER TABLE p2 DETACH PARTITION p21'
    const together = 'ALTER TABLE p2 ATTACH PARTITION p21 FOR VALUES FROM (4) TO (8)'
    switch (this.#random.int(0, 4)) {
      case 0:
        return `TRUNCATE ${this.#random.pick(leaves)}`
      case 1:
        return `${apart}; ${together}`
      case 2: {
        // Older rows have one value in the partition and another in the rest of the table.
        const free = names.find((name) => !table.columns.some((column) => column.name === name))
        if (free === undefined) return `${apart}; ${together}`
        this.#replace(table, [
          ...table.columns,
          { name: free, type: 'int', isKey: false, isRequired: false },
        ])
        const value = this.#random.chance(0.5) ? ' DEFAULT 1' : ''
        const other = this.#random.pick(['', ' DEFAULT 1', ' DEFAULT 2'])
        return `${apart}; ALTER TABLE p ADD COLUMN ${free} int${value}; ALTER TABLE p21 ADD COLUMN ${free} int${other}; ${together}`
      }
      default: {
        const start = 100 + 10 * partitions
        this.#tables = this.#tables.map((one) =>
          one.name === table.name ? { ...one, partitions: partitions + 1 } : one,
        )
        return `CREATE TABLE p${start} PARTITION OF p FOR VALUES FROM (${start}) TO (${start + 10}); ${this.#insert(table, start)}`
      }
    }
  }

  #replace(table: Table, columns: readonly Column[]): void {
    this.#tables = this.#tables.map((one) => (one.name === table.name ? { ...one, columns } : one))
  }

  #add(table: Table, name: string): string {
    const type = this.#random.pick(types)
    const isRequired = this.#random.chance(0.2)
    const column: Column = { name, type, isKey: false, isRequired }
    this.#replace(table, [...table.columns, column])
    const hasDefault = isRequired || this.#random.chance(0.5)
    const value = hasDefault ? ` DEFAULT ${this.#value({ ...column, isRequired: true })}` : ''
    return `ALTER TABLE ${table.name} ADD COLUMN ${name} ${type}${isRequired ? ' NOT NULL' : ''}${value}`
  }

  #drop(table: Table, { name }: Column): string {
    this.#replace(
      table,
      table.columns.filter((column) => column.name !== name),
    )
    return `ALTER TABLE ${table.name} DROP COLUMN ${name}`
  }

  #rename(table: Table, { name }: Column, to: string): string {
    this.#replace(
      table,
      table.columns.map((column) => (column.name === name ? { ...column, name: to } : column)),
    )
    return `ALTER TABLE ${table.name} RENAME COLUMN ${name} TO ${to}`
  }

  #widen(table: Table, { name, type }: Column): string {
    const [, base = type, size = '0', scale = ''] = /^(\w+)\((\d+)(,\d+)?\)$/.exec(type) ?? []
    const wider =
      base === 'varchar'
        ? this.#random.pick([`varchar(${Number(size) + 4})`, 'text'])
        : base === 'numeric' && scale !== ''
          ? `numeric(${Number(size) + 4}${scale})`
          : type === 'int'
            ? 'bigint'
            : type
    this.#replace(
      table,
      table.columns.map((column) => (column.name === name ? { ...column, type: wider } : column)),
    )
    return `ALTER TABLE ${table.name} ALTER ${name} TYPE ${wider}`
  }
}
