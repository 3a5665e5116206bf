-- How far the objects of a backend were compared with the digests of their versions: the key of the last one of a round
-- that was broken off.
CREATE TABLE scrubs (
    backend    TEXT    NOT NULL PRIMARY KEY,
    after_key  TEXT    NOT NULL,
    -- Microseconds since 1970 in UTC.
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
