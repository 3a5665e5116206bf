-- Objects that are being written: what a killed process leaves behind is among them.
CREATE TABLE unfinished (
    backend    TEXT    NOT NULL,
    object_key TEXT    NOT NULL,
    -- Microseconds since 1970 in UTC.
    renewed_at INTEGER NOT NULL,
    PRIMARY KEY (backend, object_key)
) STRICT, WITHOUT ROWID;
