//! The keys of services and those that sign links.

use std::time::SystemTime;

use rand::TryRng;
use rand::rngs::SysRng;
use rusqlite::{Connection, Row, params};
use storage_core::{Error, ErrorKind};

use super::error::Answer;
use super::value::{all, first, micros, run, time};
use crate::catalog::{KeyScope, LinkKeyRecord, ServiceKeyRecord};

const ADD_SERVICE_KEY: &str = "INSERT INTO service_keys (key_id, name, secret_sha256, created_at, revoked_at, scope) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";

const SERVICE_KEY: &str =
    "SELECT key_id, name, secret_sha256, created_at, revoked_at, scope FROM service_keys WHERE key_id = ?1";

const SERVICE_KEYS: &str = "SELECT key_id, name, secret_sha256, created_at, revoked_at, scope FROM service_keys ORDER BY created_at, key_id";

const REVOKE: &str =
    "UPDATE service_keys SET revoked_at = ?2 WHERE (key_id = ?1 OR name = ?1) AND revoked_at IS NULL";

const LINK_KEYS: &str =
    "SELECT key_id, secret, created_at, retired_at FROM link_keys ORDER BY created_at DESC, key_id DESC";

const ADD_LINK_KEY: &str = "INSERT INTO link_keys (key_id, secret, created_at) VALUES (?1, ?2, ?3)";

/// Those that were retired before, too, where they would work for longer than is wanted now.
const RETIRE_LINK_KEYS: &str =
    "UPDATE link_keys SET retired_at = ?1 WHERE retired_at IS NULL OR retired_at > ?1";

const NEWEST_LINK_KEY: &str = "SELECT COALESCE(MAX(created_at), 0) FROM link_keys";

pub(super) fn add_service_key(connection: &Connection, key: &ServiceKeyRecord) -> Answer<()> {
    let params = params![
        key.id,
        key.name,
        key.secret_sha256.as_slice(),
        micros(key.created_at),
        key.revoked_at.map(micros),
        key.scope.name()
    ];
    if run(connection, ADD_SERVICE_KEY, params)? > 0 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::AlreadyExists, "a service key in force has this name, or any has this id")
        .with_context("name", &key.name)
        .with_context("id", &key.id)
        .into())
}

pub(super) fn service_key(connection: &Connection, id: &str) -> Answer<Option<ServiceKeyRecord>> {
    first(connection, SERVICE_KEY, params![id], service_key_from_row)
}

pub(super) fn service_keys(connection: &Connection) -> Answer<Vec<ServiceKeyRecord>> {
    all(connection, SERVICE_KEYS, [], service_key_from_row)
}

pub(super) fn revoke_service_key(connection: &Connection, id_or_name: &str, at: SystemTime) -> Answer<bool> {
    Ok(run(connection, REVOKE, params![id_or_name, micros(at)])? > 0)
}

fn service_key_from_row(row: &Row<'_>) -> Answer<ServiceKeyRecord> {
    Ok(ServiceKeyRecord {
        id: row.get(0)?,
        name: row.get(1)?,
        secret_sha256: row.get(2)?,
        created_at: time(row.get(3)?),
        revoked_at: row.get::<_, Option<i64>>(4)?.map(time),
        // The table takes these two words only.
        scope: match row.get::<_, String>(5)? {
            scope if scope == KeyScope::Admin.name() => KeyScope::Admin,
            _ => KeyScope::Files,
        },
    })
}

pub(super) fn link_keys(connection: &Connection) -> Answer<Vec<LinkKeyRecord>> {
    all(connection, LINK_KEYS, [], |row| {
        Ok(LinkKeyRecord {
            id: row.get(0)?,
            secret: row.get(1)?,
            created_at: time(row.get(2)?),
            retired_at: row.get::<_, Option<i64>>(3)?.map(time),
        })
    })
}

/// The keys, the first one made where there is none. Runs where nobody else can make one at the same time.
pub(super) fn link_keys_or_first(connection: &Connection) -> Answer<Vec<LinkKeyRecord>> {
    let keys = link_keys(connection)?;
    if keys.is_empty() { Ok(vec![add_link_key(connection)?]) } else { Ok(keys) }
}

pub(super) fn rotate_link_keys(connection: &Connection, retire_old_at: SystemTime) -> Answer<LinkKeyRecord> {
    run(connection, RETIRE_LINK_KEYS, params![micros(retire_old_at)])?;
    add_link_key(connection)
}

fn add_link_key(connection: &Connection) -> Answer<LinkKeyRecord> {
    let mut random = [0; 8 + 32];
    SysRng.try_fill_bytes(&mut random).map_err(|error| {
        Error::new(ErrorKind::Internal, "the system gives no random bytes").with_source(error)
    })?;
    let (id, secret) = random.split_at(8);
    // Newer than all others even where the clock was set back: the newest one signs.
    let newest = first(connection, NEWEST_LINK_KEY, [], |row| Ok(row.get::<_, i64>(0)?))?.unwrap_or_default();
    let created_at = micros(SystemTime::now()).max(newest + 1);
    let key = LinkKeyRecord {
        id: hex::encode(id),
        secret: secret.to_vec(),
        created_at: time(created_at),
        retired_at: None,
    };
    run(connection, ADD_LINK_KEY, params![key.id, key.secret, created_at])?;
    Ok(key)
}
