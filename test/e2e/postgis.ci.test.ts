/**
 * PostGIS on a real server: geometries and geographies arrive as hexadecimal EWKB, copied and
 * followed. Needs Debian's package `postgresql-15-postgis-3` (`scripts/install-ci-tools.sh`).
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { EmbeddedPostgres } from '../../src/quickstart/embedded-postgres.ts'
import { createScene, type Scene } from '../support/bad-input.ts'
import { startPostgis } from '../support/extension-servers.ts'
import { quoted } from '../support/sql-literals.ts'
import { expectTextsOfServer, runAndExpectTexts, typedTable } from '../support/typed-table.ts'

const shapes = quoted(
  'POINT(1.1 -0)',
  'POINT Z (1 2 3)',
  'POINT M (1 2 3)',
  'SRID=4326;POINT ZM (1 2 3 4)',
  'POINT EMPTY',
  'SRID=4326;POINT Z EMPTY',
  'SRID=3857;LINESTRING(0 0, 1e300 -1e-300)',
  'LINESTRING EMPTY',
  'SRID=4326;POLYGON((0 0,10 0,10 10,0 10,0 0),(1 1,2 1,2 2,1 2,1 1))',
  'POLYGON Z ((0 0 1,1 0 1,1 1 1,0 0 1))',
  'MULTIPOINT(1 2,EMPTY,3 4)',
  'MULTILINESTRING((0 0,1 1),(2 2,3 3))',
  'MULTIPOLYGON(((0 0,1 0,1 1,0 0)),EMPTY)',
  'SRID=4326;GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1),GEOMETRYCOLLECTION(POINT EMPTY))',
  'GEOMETRYCOLLECTION EMPTY',
)
const curves = quoted(
  'CIRCULARSTRING(0 0,1 1,2 0)',
  'COMPOUNDCURVE(CIRCULARSTRING(0 0,1 1,2 0),(2 0,3 0))',
  'CURVEPOLYGON(CIRCULARSTRING(0 0,4 0,4 4,0 4,0 0))',
  'TRIANGLE((0 0,0 9,9 0,0 0))',
  'TIN(((0 0 0,0 0 1,0 1 0,0 0 0)))',
  'POLYHEDRALSURFACE(((0 0 0,0 0 1,0 1 1,0 1 0,0 0 0)))',
)
const globe = quoted(
  'POINT(-180 90)',
  'POINT Z (12.5 41.9 -3)',
  'POINT EMPTY',
  'SRID=4269;POINT(1 2)',
  'LINESTRING(179 0,-179 0)',
  'POLYGON((0 0,10 0,10 10,0 0),(3 1,4 1,4 2,3 1))',
  'GEOMETRYCOLLECTION(POINT(1 2),POLYGON((0 0,1 0,1 1,0 0)))',
)
const large = 'ST_Buffer(ST_MakePoint(1, 2), 3, 9000)'

/** Written as EWKB, which is what their text is in hexadecimal. */
const binary = [
  { type: 'geometry', values: [...shapes, ...curves, large] },
  { type: 'geography', values: [...globe, `${large}::geography`] },
  { type: 'geometry(PointZM,4326)', values: quoted('SRID=4326;POINT ZM (1 2 3 4)') },
  { type: 'geometry(Polygon,3857)', values: quoted('SRID=3857;POLYGON((0 0,1 0,1 1,0 0))') },
  { type: 'geography(LineString,4326)', values: quoted('LINESTRING(0 0,1 1)') },
  { type: 'app.place', values: quoted('SRID=4326;POINT(5 6)') },
]
const others = [
  // Its elements are parted by a colon.
  { type: 'geometry[]', values: [`ARRAY['POINT(1 2)'::geometry, NULL, 'POINT EMPTY']`, `'{}'`] },
  { type: 'geography[]', values: [`ARRAY['POINT(1 2)'::geography]`] },
  { type: 'box2d', values: quoted('BOX(0 -1,2 3)') },
  { type: 'box3d', values: quoted('BOX3D(0 -1 5,2 3 6)') },
  { type: 'geometry_dump', values: [`ROW('{1,2}', 'POINT(1 2)')::geometry_dump`] },
  { type: 'app.spot', values: [`ROW('a "b"', 'SRID=4326;POINT(1 2)')::app.spot`] },
  { type: 'uuid', values: [`uuid_generate_v5(uuid_nil(), 'x')`, 'uuid_generate_v1mc()'] },
]
const table = typedTable('shapes', [...binary, ...others])
const places = binary.map((_, n) => n)
const allPlaces = [...binary, ...others].map((_, n) => n)

let server: EmbeddedPostgres
let scene: Scene

beforeAll(async () => {
  server = await startPostgis()
  scene = await createScene(server, 'postgis')
  await scene.sql('CREATE EXTENSION postgis; CREATE EXTENSION "uuid-ossp"')
  await scene.sqlAsRole(`CREATE DOMAIN app.place AS geometry(Point,4326);
    CREATE TYPE app.spot AS (name text, at geometry);
    ${table.create}; CREATE INDEX ON app.shapes USING gist (c0); ${table.insert(1)}`)
})

afterAll(async () => {
  scene.dispose()
  await server.stop()
})

async function runAndCompare(): Promise<void> {
  await runAndExpectTexts(scene, 'shapes', allPlaces)
  const ewkb = (cell: string): string =>
    `upper(encode(public.ST_AsEWKB(${cell}::public.geometry), 'hex'))`
  await expectTextsOfServer(scene, 'shapes', places, ewkb)
}

test('geometries and geographies are hexadecimal EWKB, copied and followed', async () => {
  await runAndCompare()
  await scene.sqlAsRole(`${table.insert(101)};
    UPDATE app.shapes SET note = 'large values stay';
    UPDATE app.shapes SET id = -id WHERE id > 110;
    UPDATE app.shapes SET c0 = ST_SetSRID(ST_Translate(c0, 1, 1), 4326) WHERE id BETWEEN 1 AND 5;
    UPDATE app.shapes SET c1 = NULL WHERE id = 2; DELETE FROM app.shapes WHERE id = 3`)
  await runAndCompare()
})

test('a column of a place is added with a default, and gets another reference system', async () => {
  await scene.sqlAsRole(`ALTER TABLE app.shapes ADD c${allPlaces.length} geometry(Point,4326)
      DEFAULT 'SRID=4326;POINT(1 2)'::geometry;
    ${table.insert(201).replace('VALUES', `(id, note, ${allPlaces.map((n) => `c${n}`).join(', ')}) VALUES`)};
    ALTER TABLE app.shapes ALTER c3 TYPE geometry(Polygon,4326) USING ST_SetSRID(c3, 4326);
    INSERT INTO app.shapes (id, c3) VALUES (301, 'SRID=4326;POLYGON((0 0,1 0,1 1,0 0))')`)
  await runAndCompare()
  await expectTextsOfServer(scene, 'shapes', [allPlaces.length])
  const added = `SELECT DISTINCT c${allPlaces.length} AS at FROM shapes WHERE id < 200`
  expect(JSON.parse((await scene.call('query', added)).text)).toEqual({
    at: '0101000020E6100000000000000000F03F0000000000000040',
  })
})
