//! Checking the catalog against itself, and mending its counters.

use rusqlite::{Connection, params};

use super::error::Answer;
use super::value::{all, first, run};
use crate::catalog::{Totals, UserId};

/// Users whose counters differ from what their rows add up to. A user with rows has a row of counters, since
/// files and reservations refer to it.
const DIFFERENT_USERS: &str = "SELECT u.user_id, COALESCE(f.files, 0), COALESCE(v.versions, 0), \
     COALESCE(v.bytes, 0), COALESCE(r.files, 0), COALESCE(r.bytes, 0) \
     FROM users u \
     LEFT JOIN (SELECT user_id, COUNT(*) AS files FROM files GROUP BY user_id) f ON f.user_id = u.user_id \
     LEFT JOIN (SELECT f.user_id AS user_id, COUNT(*) AS versions, SUM(v.size_bytes) AS bytes \
                FROM versions v JOIN files f ON f.file_id = v.file_id GROUP BY f.user_id) v \
            ON v.user_id = u.user_id \
     LEFT JOIN (SELECT user_id, SUM(files) AS files, SUM(bytes) AS bytes FROM reservations GROUP BY user_id) r \
            ON r.user_id = u.user_id \
     WHERE u.files <> COALESCE(f.files, 0) OR u.versions <> COALESCE(v.versions, 0) \
        OR u.bytes <> COALESCE(v.bytes, 0) \
        OR u.reserved_files <> COALESCE(r.files, 0) OR u.reserved_bytes <> COALESCE(r.bytes, 0) \
     ORDER BY u.user_id";

const SET_COUNTERS: &str = "UPDATE users SET files = ?2, versions = ?3, bytes = ?4, reserved_files = ?5, \
     reserved_bytes = ?6 WHERE user_id = ?1";

const SUM_OF_USERS: &str = "SELECT COALESCE(SUM(files), 0), COALESCE(SUM(versions), 0), \
     COALESCE(SUM(bytes), 0), COALESCE(SUM(CASE WHEN files > 0 THEN 1 ELSE 0 END), 0) FROM users";

const SET_TOTALS: &str = "INSERT INTO totals (id, files, versions, bytes, users) VALUES (1, ?1, ?2, ?3, ?4) \
     ON CONFLICT (id) DO UPDATE SET files = ?1, versions = ?2, bytes = ?3, users = ?4";

const TOTALS: &str = "SELECT files, versions, bytes, users FROM totals WHERE id = 1";

const WITHOUT_CURRENT: &str = "SELECT COUNT(*) FROM files f WHERE NOT EXISTS \
     (SELECT 1 FROM versions v WHERE v.file_id = f.file_id AND v.version_id = f.current_version)";

const WITHOUT_PLACEMENT: &str = "SELECT COUNT(*) FROM versions v WHERE NOT EXISTS \
     (SELECT 1 FROM placements p WHERE p.file_id = v.file_id AND p.version_id = v.version_id)";

/// The users whose counters differ from their rows; with `repair` they, and the totals, are corrected.
pub(super) fn check_usage(connection: &Connection, repair: bool) -> Answer<Vec<UserId>> {
    let different = all(connection, DIFFERENT_USERS, [], |row| {
        let mut counts = [0_i64; 5];
        for (at, count) in counts.iter_mut().enumerate() {
            *count = row.get(at + 1)?;
        }
        Ok((row.get::<_, UserId>(0)?, counts))
    })?;
    if repair {
        for (user, [files, versions, bytes, reserved_files, reserved_bytes]) in &different {
            let params = params![user, files, versions, bytes, reserved_files, reserved_bytes];
            run(connection, SET_COUNTERS, params)?;
        }
        let Totals { files, versions, bytes, users } = sum_of_users(connection)?;
        run(connection, SET_TOTALS, params![files, versions, bytes, users])?;
    }
    Ok(different.into_iter().map(|(user, _)| user).collect())
}

/// What is wrong with the database: its pages and indexes, references, and totals.
pub(super) fn check_integrity(connection: &Connection) -> Answer<Vec<String>> {
    let mut problems = all(connection, "PRAGMA integrity_check", [], |row| Ok(row.get::<_, String>(0)?))?;
    problems.retain(|problem| problem != "ok");
    problems.extend(all(connection, "PRAGMA foreign_key_check", [], |row| {
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        Ok(format!("a row of {table} refers to a row of {parent} that does not exist"))
    })?);
    for (sql, what) in [
        (WITHOUT_CURRENT, "files whose current version does not exist"),
        (WITHOUT_PLACEMENT, "versions of which no backend is known"),
    ] {
        let count = first(connection, sql, [], |row| Ok(row.get::<_, i64>(0)?))?.unwrap_or_default();
        if count > 0 {
            problems.push(format!("{what}: {count}"));
        }
    }
    let kept = first(connection, TOTALS, [], totals_from_row)?;
    let sum = sum_of_users(connection)?;
    if kept != Some(sum) {
        problems.push("the totals differ from the sum over all users: repair the usage counters".to_owned());
    }
    Ok(problems)
}

fn sum_of_users(connection: &Connection) -> Answer<Totals> {
    Ok(first(connection, SUM_OF_USERS, [], totals_from_row)?.unwrap_or_default())
}

fn totals_from_row(row: &rusqlite::Row<'_>) -> Answer<Totals> {
    Ok(Totals { files: row.get(0)?, versions: row.get(1)?, bytes: row.get(2)?, users: row.get(3)? })
}
