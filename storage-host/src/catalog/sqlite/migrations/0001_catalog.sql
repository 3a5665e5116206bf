-- The catalog. Times are microseconds since 1970 in UTC, ids are the 16 bytes of a UUID, texts compare by bytes.

-- What each user uses and may use. The counters are kept by the transactions that change the rows they count.
CREATE TABLE users (
    user_id           TEXT    NOT NULL PRIMARY KEY,
    bytes             INTEGER NOT NULL DEFAULT 0 CHECK (bytes >= 0),
    files             INTEGER NOT NULL DEFAULT 0 CHECK (files >= 0),
    versions          INTEGER NOT NULL DEFAULT 0 CHECK (versions >= 0),
    reserved_bytes    INTEGER NOT NULL DEFAULT 0 CHECK (reserved_bytes >= 0),
    reserved_files    INTEGER NOT NULL DEFAULT 0 CHECK (reserved_files >= 0),
    -- 0: the default quota holds, and the limits below say nothing. A limit that is NULL is none.
    has_own_quota     INTEGER NOT NULL DEFAULT 0,
    max_bytes         INTEGER,
    max_files         INTEGER,
    -- When the event that the quota is used up was last written.
    quota_reported_at INTEGER
) STRICT, WITHOUT ROWID;

-- What all users use together: one row.
CREATE TABLE totals (
    id       INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    bytes    INTEGER NOT NULL CHECK (bytes >= 0),
    files    INTEGER NOT NULL CHECK (files >= 0),
    versions INTEGER NOT NULL CHECK (versions >= 0),
    users    INTEGER NOT NULL CHECK (users >= 0)
) STRICT;
INSERT INTO totals (id, bytes, files, versions, users) VALUES (1, 0, 0, 0, 0);

-- Room that saves under way were promised.
CREATE TABLE reservations (
    reservation_id BLOB    NOT NULL PRIMARY KEY,
    user_id        TEXT    NOT NULL REFERENCES users (user_id),
    bytes          INTEGER NOT NULL,
    files          INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX reservations_of_user ON reservations (user_id, expires_at);

-- Files. What a listing orders by repeats the current version, so that each order is one index.
CREATE TABLE files (
    file_id         BLOB    NOT NULL PRIMARY KEY,
    user_id         TEXT    NOT NULL REFERENCES users (user_id),
    created_at      INTEGER NOT NULL,
    current_version BLOB    NOT NULL,
    last_number     INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    filename        TEXT    NOT NULL,
    size_bytes      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX files_by_created_at ON files (user_id, created_at, file_id);
CREATE INDEX files_by_updated_at ON files (user_id, updated_at, file_id);
CREATE INDEX files_by_filename   ON files (user_id, filename, file_id);
CREATE INDEX files_by_size       ON files (user_id, size_bytes, file_id);

CREATE TABLE versions (
    file_id      BLOB    NOT NULL REFERENCES files (file_id) ON DELETE CASCADE,
    version_id   BLOB    NOT NULL,
    number       INTEGER NOT NULL,
    filename     TEXT    NOT NULL,
    content_type TEXT    NOT NULL,
    size_bytes   INTEGER NOT NULL,
    sha256       BLOB    NOT NULL,
    -- JSON objects of texts.
    metadata     TEXT    NOT NULL,
    tags         TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (file_id, version_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX versions_by_number ON versions (file_id, number);

-- Which backend holds the bytes of a version; the one with the lowest ordinal is read first.
CREATE TABLE placements (
    file_id    BLOB    NOT NULL,
    version_id BLOB    NOT NULL,
    ordinal    INTEGER NOT NULL,
    backend    TEXT    NOT NULL,
    object_key TEXT    NOT NULL,
    tier       TEXT,
    PRIMARY KEY (file_id, version_id, ordinal),
    FOREIGN KEY (file_id, version_id) REFERENCES versions (file_id, version_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX placements_by_object ON placements (backend, object_key);

-- Objects that no row refers to any more and that are still to be removed from their backend.
CREATE TABLE garbage (
    backend    TEXT    NOT NULL,
    object_key TEXT    NOT NULL,
    since      INTEGER NOT NULL,
    PRIMARY KEY (backend, object_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX garbage_by_age ON garbage (since, backend, object_key);

-- Who did what. Lines are appended and never changed; `seq` is their order.
CREATE TABLE audit (
    seq            INTEGER NOT NULL PRIMARY KEY,
    at             INTEGER NOT NULL,
    actor          TEXT    NOT NULL,
    user_id        TEXT    NOT NULL,
    action         TEXT    NOT NULL,
    file_id        BLOB,
    version_id     BLOB,
    outcome        TEXT    NOT NULL,
    correlation_id TEXT,
    remote         TEXT
) STRICT;
CREATE INDEX audit_of_user ON audit (user_id, seq);
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

-- Events that are still to be delivered, in the order in which they happened. A seq is never used again.
CREATE TABLE outbox (
    seq      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    event_id BLOB    NOT NULL,
    type     TEXT    NOT NULL,
    file_id  BLOB,
    event    TEXT    NOT NULL
) STRICT;

CREATE TABLE service_keys (
    key_id        TEXT    NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL,
    secret_sha256 BLOB    NOT NULL,
    created_at    INTEGER NOT NULL,
    revoked_at    INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX service_keys_in_force ON service_keys (name) WHERE revoked_at IS NULL;

CREATE TABLE link_keys (
    key_id     TEXT    NOT NULL PRIMARY KEY,
    secret     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    retired_at INTEGER
) STRICT, WITHOUT ROWID;
