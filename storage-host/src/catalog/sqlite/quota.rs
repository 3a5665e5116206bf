//! What users use, may use, and were promised. The counters change in the transactions that change what they
//! count, so that neither a save nor a question ever counts rows.

use std::time::{Duration, SystemTime};

use rusqlite::{Connection, params};
use storage_core::{Error, ErrorKind};
use uuid::Uuid;

use super::audit::write_event;
use super::error::Answer;
use super::value::{first, micros, micros_ago, micros_from_now, run};
use crate::catalog::{Quota, ReservationId, Totals, Usage, UserId};
use crate::events::{Event, QuotaExceeded, What};

/// How often a user's outbox is told that the quota is used up.
const REPORT_EVERY: Duration = Duration::from_secs(3_600);

const USAGE: &str = "SELECT bytes, files, versions, reserved_bytes, reserved_files, \
     has_own_quota, max_bytes, max_files FROM users WHERE user_id = ?1";

/// What was promised and has lapsed without anybody having taken it back yet.
const LAPSED: &str = "SELECT COALESCE(SUM(bytes), 0), COALESCE(SUM(files), 0) FROM reservations \
     WHERE user_id = ?1 AND expires_at <= ?2";

const ADD_USER: &str = "INSERT INTO users (user_id) VALUES (?1) ON CONFLICT (user_id) DO NOTHING";

const RESERVED: &str = "UPDATE users SET reserved_bytes = reserved_bytes + ?2, reserved_files = reserved_files + ?3 \
     WHERE user_id = ?1";

const USED: &str = "UPDATE users SET bytes = bytes + ?2, files = files + ?3, versions = versions + ?4 \
     WHERE user_id = ?1 RETURNING files";

const TOTALS_USED: &str = "UPDATE totals SET bytes = bytes + ?1, files = files + ?2, versions = versions + ?3, users = users + ?4 \
     WHERE id = 1";

const ADD_RESERVATION: &str = "INSERT INTO reservations (reservation_id, user_id, bytes, files, expires_at) \
     VALUES (?1, ?2, ?3, ?4, ?5)";

const RESERVATION: &str = "SELECT user_id, bytes, files FROM reservations \
     WHERE reservation_id = ?1 AND expires_at > ?2";

const GROW_RESERVATION: &str =
    "UPDATE reservations SET bytes = bytes + ?2, expires_at = ?3 WHERE reservation_id = ?1";

const DELETE_RESERVATION: &str =
    "DELETE FROM reservations WHERE reservation_id = ?1 RETURNING user_id, bytes, files";

const DELETE_LAPSED: &str = "DELETE FROM reservations WHERE user_id = ?1 AND expires_at <= ?2";

const LAPSED_USERS: &str = "SELECT DISTINCT user_id FROM reservations WHERE expires_at <= ?1";

const SET_QUOTA: &str = "UPDATE users SET has_own_quota = ?2, max_bytes = ?3, max_files = ?4, \
     quota_reported_at = NULL WHERE user_id = ?1";

const MAY_REPORT: &str = "UPDATE users SET quota_reported_at = ?2 \
     WHERE user_id = ?1 AND (quota_reported_at IS NULL OR quota_reported_at <= ?3)";

const TOTALS: &str = "SELECT files, versions, bytes, users FROM totals WHERE id = 1";

/// A change to what a user uses.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    pub(super) bytes: i64,
    pub(super) files: i64,
    pub(super) versions: i64,
}

/// Room that is asked for or was promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) bytes: u64,
    pub(super) files: u64,
}

pub(super) fn usage(connection: &Connection, user: &UserId, default_quota: Quota) -> Answer<Usage> {
    let mut usage = counted(connection, user, default_quota)?;
    let now = micros(SystemTime::now());
    let lapsed = first(connection, LAPSED, params![user, now], |row| {
        Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?))
    })?;
    let (bytes, files) = lapsed.unwrap_or_default();
    usage.reserved_bytes = usage.reserved_bytes.saturating_sub(bytes);
    usage.reserved_files = usage.reserved_files.saturating_sub(files);
    Ok(usage)
}

fn counted(connection: &Connection, user: &UserId, default_quota: Quota) -> Answer<Usage> {
    let usage = first(connection, USAGE, params![user], |row| {
        let own = Quota { max_bytes: row.get(6)?, max_files: row.get(7)? };
        Ok(Usage {
            bytes: row.get(0)?,
            files: row.get(1)?,
            versions: row.get(2)?,
            reserved_bytes: row.get(3)?,
            reserved_files: row.get(4)?,
            quota: if row.get(5)? { own } else { default_quota },
        })
    })?;
    Ok(usage.unwrap_or(Usage { quota: default_quota, ..Usage::default() }))
}

pub(super) fn totals(connection: &Connection) -> Answer<Totals> {
    let totals = first(connection, TOTALS, [], |row| {
        Ok(Totals { files: row.get(0)?, versions: row.get(1)?, bytes: row.get(2)?, users: row.get(3)? })
    })?;
    Ok(totals.ok_or_else(|| Error::new(ErrorKind::Corrupted, "the totals of the catalog are missing"))?)
}

pub(super) fn set_quota(connection: &Connection, user: &UserId, quota: Option<Quota>) -> Answer<()> {
    add_user(connection, user)?;
    let Quota { max_bytes, max_files } = quota.unwrap_or_default();
    run(connection, SET_QUOTA, params![user, quota.is_some(), max_bytes, max_files])?;
    Ok(())
}

/// Promises room, or tells why not. A refusal is an inner error, because what it leaves behind (lapsed promises
/// taken back, the event that the quota is used up) is to be kept.
pub(super) fn reserve(
    connection: &Connection,
    user: &UserId,
    need: Need,
    lifetime: Duration,
    default_quota: Quota,
) -> Answer<Result<ReservationId, Error>> {
    add_user(connection, user)?;
    if let Err(refusal) = ensure_room(connection, user, need, default_quota)? {
        return Ok(Err(refusal));
    }
    let id = Uuid::now_v7();
    let expires_at = micros_from_now(lifetime);
    run(
        connection,
        ADD_RESERVATION,
        params![id.as_bytes().as_slice(), user, need.bytes, need.files, expires_at],
    )?;
    run(connection, RESERVED, params![user, need.bytes, need.files])?;
    Ok(Ok(ReservationId(id)))
}

/// Adds to a promise, or tells why not, as [`reserve`].
pub(super) fn grow(
    connection: &Connection,
    reservation: ReservationId,
    bytes: u64,
    lifetime: Duration,
    default_quota: Quota,
) -> Answer<Result<(), Error>> {
    let Some((user, _)) = in_force(connection, reservation)? else {
        let lapsed = Error::new(ErrorKind::NotFound, "the reservation has lapsed or was used up");
        return Ok(Err(lapsed.with_context("reservation", reservation.0)));
    };
    if let Err(refusal) = ensure_room(connection, &user, Need { bytes, files: 0 }, default_quota)? {
        return Ok(Err(refusal));
    }
    let id = reservation.0.as_bytes().as_slice();
    run(connection, GROW_RESERVATION, params![id, bytes, micros_from_now(lifetime)])?;
    run(connection, RESERVED, params![user, bytes, 0])?;
    Ok(Ok(()))
}

/// Whose a promise is and what it holds, where it has not lapsed.
pub(super) fn in_force(
    connection: &Connection,
    reservation: ReservationId,
) -> Answer<Option<(UserId, Need)>> {
    let now = micros(SystemTime::now());
    first(connection, RESERVATION, params![reservation.0.as_bytes().as_slice(), now], |row| {
        Ok((row.get(0)?, Need { bytes: row.get(1)?, files: row.get(2)? }))
    })
}

/// Takes a promise back, where it is still there.
pub(super) fn take_back(connection: &Connection, reservation: ReservationId) -> Answer<()> {
    let id = reservation.0.as_bytes().as_slice();
    let taken = first(connection, DELETE_RESERVATION, params![id], |row| {
        Ok((row.get::<_, UserId>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    })?;
    if let Some((user, bytes, files)) = taken {
        run(connection, RESERVED, params![user, -bytes, -files])?;
    }
    Ok(())
}

/// Takes back every promise that has lapsed or will within a time; answers the bytes that are free again.
pub(super) fn take_back_lapsing(connection: &Connection, within: Duration) -> Answer<u64> {
    let until = micros_from_now(within);
    let mut freed_bytes = 0;
    for user in
        super::value::all(connection, LAPSED_USERS, params![until], |row| Ok(row.get::<_, UserId>(0)?))?
    {
        freed_bytes += take_back_lapsed(connection, &user, until)?;
    }
    Ok(freed_bytes)
}

fn take_back_lapsed(connection: &Connection, user: &UserId, now: i64) -> Answer<u64> {
    let lapsed = first(connection, LAPSED, params![user, now], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    })?;
    let (bytes, files) = lapsed.unwrap_or_default();
    if run(connection, DELETE_LAPSED, params![user, now])? > 0 {
        run(connection, RESERVED, params![user, -bytes, -files])?;
    }
    Ok(bytes.unsigned_abs())
}

/// Whether a user has room for this much more; where not, why. Lapsed promises never stand in the way.
pub(super) fn ensure_room(
    connection: &Connection,
    user: &UserId,
    need: Need,
    default_quota: Quota,
) -> Answer<Result<(), Error>> {
    if need == Need::default() || fits(&counted(connection, user, default_quota)?, need) {
        return Ok(Ok(()));
    }
    take_back_lapsed(connection, user, micros(SystemTime::now()))?;
    let usage = counted(connection, user, default_quota)?;
    if fits(&usage, need) {
        return Ok(Ok(()));
    }
    let now = SystemTime::now();
    let report = QuotaExceeded {
        max_bytes: usage.quota.max_bytes,
        max_files: usage.quota.max_files,
        used_bytes: usage.bytes + usage.reserved_bytes,
        used_files: usage.files + usage.reserved_files,
        requested_bytes: need.bytes,
        requested_files: need.files,
    };
    if run(connection, MAY_REPORT, params![user, micros(now), micros_ago(REPORT_EVERY)])? > 0 {
        write_event(connection, &Event::now(user.as_str(), What::QuotaExceeded(report)))?;
    }
    Ok(Err(refusal(user, &report)))
}

fn fits(usage: &Usage, need: Need) -> bool {
    let within = |used: u64, reserved: u64, need: u64, limit: Option<u64>| {
        // What no counter can hold fits into no quota.
        let limit = limit.unwrap_or(u64::MAX).min(i64::MAX as u64);
        need == 0 || u128::from(used) + u128::from(reserved) + u128::from(need) <= u128::from(limit)
    };
    within(usage.bytes, usage.reserved_bytes, need.bytes, usage.quota.max_bytes)
        && within(usage.files, usage.reserved_files, need.files, usage.quota.max_files)
}

fn refusal(user: &UserId, report: &QuotaExceeded) -> Error {
    let limit = |limit: Option<u64>| limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
    Error::new(
        ErrorKind::QuotaExceeded,
        "the user's quota does not allow this: delete files or versions, or have the quota raised",
    )
    .with_context("user", user)
    .with_context("limit_bytes", limit(report.max_bytes))
    .with_context("used_bytes", report.used_bytes)
    .with_context("requested_bytes", report.requested_bytes)
    .with_context("limit_files", limit(report.max_files))
    .with_context("used_files", report.used_files)
    .with_context("requested_files", report.requested_files)
}

/// Makes sure that a user has a row of counters.
pub(super) fn add_user(connection: &Connection, user: &UserId) -> Answer<()> {
    run(connection, ADD_USER, params![user])?;
    Ok(())
}

/// Counts what was added or, where negative, taken away. The user has a row.
pub(super) fn count(connection: &Connection, user: &UserId, change: Change) -> Answer<()> {
    let Change { bytes, files, versions } = change;
    let files_now =
        first(connection, USED, params![user, bytes, files, versions], |row| Ok(row.get::<_, i64>(0)?))?;
    let Some(files_now) = files_now else {
        return Err(Error::new(ErrorKind::Corrupted, "the counters of a user are missing")
            .with_context("user", user)
            .into());
    };
    let had_files = files_now - files > 0;
    let users = i64::from(files_now > 0) - i64::from(had_files);
    run(connection, TOTALS_USED, params![bytes, files, versions, users])?;
    Ok(())
}
