/**
 * What values of a type that somebody made have beside their rows: labels of enums, and which
 * attributes a composite has. Where these change, values do without any row being written. The type
 * may hold them in arrays, domains, ranges and composites of others.
 */

/**
 * SQL, the type being `a.type_oid`: a JSON object of texts, NULL when there is none. Types of the
 * server itself, whose ids are smaller, have none.
 */
export const labelsOfType = `CASE WHEN a.type_oid >= 16384 THEN (WITH RECURSIVE used (type) AS (
    SELECT a.type_oid
    UNION SELECT part.type FROM used u CROSS JOIN LATERAL (
      SELECT unnest(ARRAY[y.typelem, y.typbasetype]) FROM pg_type y WHERE y.oid = u.type
      UNION ALL SELECT r.rngsubtype FROM pg_range r
        WHERE u.type::text IN (r.rngtypid::text, to_jsonb(r) ->> 'rngmultitypid')
      UNION ALL SELECT f.atttypid FROM pg_type y JOIN pg_attribute f ON f.attrelid = y.typrelid
        WHERE y.oid = u.type AND f.attnum > 0 AND NOT f.attisdropped
    ) part (type) WHERE part.type <> 0
  ) SELECT json_object_agg(n.id, n.name ORDER BY n.id) FROM (
    SELECT e.oid::text, e.enumlabel::text FROM used u JOIN pg_enum e ON e.enumtypid = u.type
    UNION ALL SELECT 'of ' || u.type, string_agg(concat_ws(' ', f.attnum, f.atttypid, f.atttypmod), ', ' ORDER BY f.attnum)
      FROM used u JOIN pg_type y ON y.oid = u.type JOIN pg_attribute f ON f.attrelid = y.typrelid
      WHERE f.attnum > 0 AND NOT f.attisdropped GROUP BY u.type
  ) n (id, name)) END`
