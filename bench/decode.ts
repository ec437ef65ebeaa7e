/** Decoding of recorded PostgreSQL rows into column builders, on one thread. */
import {
  type ColumnBuilder,
  createColumnBuilder,
  finishBatch,
  releaseBatch,
} from '../src/columnar/column-builder.ts'
import { createParquetEncoder } from '../src/columnar/parquet/create-encoder.ts'
import type { ColumnBatch } from '../src/columnar/column-batch.ts'
import type { ChangeSink, RowTarget } from '../src/source/change-sink.ts'
import type { Position } from '../src/source/source.ts'
import { createCopyTextDecoder } from '../src/source/postgres/copy-text.ts'
import { createPgoutputDecoder } from '../src/source/postgres/pgoutput/decode.ts'
import { bindRelation, type RelationBinding } from '../src/source/postgres/pgoutput/relation.ts'
import { createTupleCells, scanTuple } from '../src/source/postgres/pgoutput/tuple.ts'
import { type Bench, type Measurement, medianTimings, type Timing } from './support/measure.ts'
import { type RecordedOrders, recordOrders } from './support/recorded-orders.ts'

/** Rows of a batch, as the gateway would cut them. */
const batchRows = 65_536

/** Collects rows; hands a batch over whenever it is full. */
function collector(
  orders: RecordedOrders,
  take: (batch: ColumnBatch) => void,
): RowTarget & { flush(): void } {
  const columns: ColumnBuilder[] = orders.table.schema.columns.map((column) =>
    createColumnBuilder(column.name, column.type),
  )
  let rows = 0
  const flush = (): void => {
    if (rows > 0) take(finishBatch(columns))
    rows = 0
  }
  return {
    columns,
    startRow: () => undefined,
    endRow: () => {
      if (++rows === batchRows) flush()
    },
    flush,
  }
}

function sinkOf(target: RowTarget): ChangeSink {
  return {
    begin: () => undefined,
    rowsFor: () => target,
    truncate: () => undefined,
    commit: () => undefined,
    heartbeat: () => undefined,
    schemaChanged: () => undefined,
    gap: () => undefined,
    pressure: () => undefined,
  }
}

/** Decodes every recorded message once; batches come as they are full. */
function* pgoutputBatches(orders: RecordedOrders): Generator<ColumnBatch, void> {
  const full: ColumnBatch[] = []
  const target = collector(orders, (batch) => full.push(batch))
  const relations = new Map<number, RelationBinding>()
  const decoder = createPgoutputDecoder({
    sink: sinkOf(target),
    relations,
    position: (endLsn) => `${endLsn}` as Position,
  })
  const { pgoutput, offsets } = orders
  for (let index = 0; index + 1 < offsets.length; index++) {
    const outcome = decoder.message(
      pgoutput,
      offsets[index] as number,
      offsets[index + 1] as number,
    )
    if (outcome === 'relation' && decoder.relation !== undefined) {
      const bound = bindRelation(decoder.relation, orders.table, orders.decoders)
      if (bound.kind !== 'bound') throw new Error(bound.kind)
      relations.set(decoder.relation.oid, bound.binding)
    }
    if (full.length > 0) yield* full.splice(0)
  }
  target.flush()
  yield* full
}

export function decodePgoutput(orders: RecordedOrders): void {
  for (const batch of pgoutputBatches(orders)) releaseBatch(batch)
}

export function decodeCopy(orders: RecordedOrders): void {
  const target = collector(orders, releaseBatch)
  const decoder = createCopyTextDecoder(orders.decoders, target)
  const { copy, copyOffsets } = orders
  for (let index = 0; index + 1 < copyOffsets.length; index++) {
    decoder.row(copy, copyOffsets[index] as number, copyOffsets[index + 1] as number)
  }
  target.flush()
}

/** The least work that still finds every cell: framing alone. */
function frameOnly(orders: RecordedOrders): void {
  const cells = createTupleCells()
  const columnCount = orders.table.schema.columns.length
  const { pgoutput, offsets } = orders
  const view = new DataView(pgoutput.buffer, pgoutput.byteOffset, pgoutput.length)
  for (let index = 0; index + 1 < offsets.length; index++) {
    const start = offsets[index] as number
    const end = offsets[index + 1] as number
    if (pgoutput[start] === 73) scanTuple(view, start, start + 6, end, columnCount, cells)
  }
}

/** Decodes and encodes each batch as one row group, as staging does; nobody writes the bytes. */
async function decodeAndEncode(orders: RecordedOrders): Promise<void> {
  const encoder = createParquetEncoder(orders.table.schema.columns)
  for (const batch of pgoutputBatches(orders)) {
    await encoder.encodeRowGroup(batch)
    releaseBatch(batch)
  }
  encoder.finish()
}

export const run: Bench = async ({ rows: asked, rounds: wanted, say }) => {
  const rows = asked ?? 200_000
  const rounds = wanted ?? 7
  const orders = await recordOrders(rows)
  say(
    `${orders.rowCount} rows, ${Math.round(orders.pgoutput.length / rows)} bytes a row of pgoutput, ` +
      `${Math.round(orders.copy.length / rows)} of COPY text`,
  )
  const contestants = [
    { name: 'framing', run: () => frameOnly(orders) },
    { name: 'pgoutput', run: () => decodePgoutput(orders) },
    { name: 'copy', run: () => decodeCopy(orders) },
    { name: 'encode', run: async () => await decodeAndEncode(orders) },
  ]
  const [frame, pgoutput, copy, encode] = await medianTimings(contestants, rounds)
  if (!frame || !pgoutput || !copy || !encode) throw new Error('a contestant did not run')
  const measurement = (name: string, seconds: number, limit: number): Measurement => ({
    name,
    value: rows / seconds,
    unit: 'rows/s',
    limit: rows / limit,
    limitName: 'framing alone',
  })
  /** Wall time is what a quiet machine shows; CPU time is what remains true on a busy one. */
  const both = (name: string, timing: Timing): Measurement[] => [
    measurement(`${name}, wall`, timing.wall, frame.wall),
    measurement(`${name}, its thread's CPU`, timing.thread, frame.thread),
  ]
  return [
    ...both('pgoutput decoded', pgoutput),
    ...both('COPY text decoded', copy),
    ...both('pgoutput decoded and encoded', encode).map((one, index) => ({
      ...one,
      // Wall time needs a core for itself, and another one for the compression.
      ...(index === 1 ? { goal: '≥ 1,200,000 rows/s' } : {}),
    })),
    measurement('pgoutput decoded and encoded, CPU of all threads', encode.cpu, frame.cpu),
  ]
}
