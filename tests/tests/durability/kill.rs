//! `kill -9` again and again while clients work over HTTP.
//!
//! `STORAGE_TEST_KILLS` sets how often; `cargo xtask soak` does so and shows the account.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::Value;
use storage_host::catalog::{Catalog as _, CatalogOptions, Quota, SqliteCatalog, UserId};
use storage_tests::home::{Api, BACKEND, Home, Serving};
use storage_tests::kill::account::Account;
use storage_tests::kill::check::{check, check_nothing_is_reserved};
use storage_tests::kill::client::{Dice, Trigger, work};
use storage_tests::kill::ledger::Ledger;

/// How many clients work at once.
const CLIENTS: u64 = 16;

/// How often the service is killed where nobody says otherwise.
const KILLS: u64 = 10;

/// What every second client may have: so little that it is refused now and then.
const QUOTA_BYTES: u64 = 3_000_000;

fn kills() -> Result<u64> {
    match std::env::var("STORAGE_TEST_KILLS") {
        Err(_) => Ok(KILLS),
        Ok(text) => text.parse().with_context(|| format!("STORAGE_TEST_KILLS is {text:?} and no number")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_answered_outlives_kill_9_and_only_provable_orphans_are_left() -> Result<()> {
    let kills = kills()?;
    let home = Home::new(&[])?;
    let key = home.key()?;
    let mut ledgers = ledgers(&home).await?;
    let mut account = Account::default();
    let mut dice = Dice::new(2_026);
    for round in 0..kills {
        ledgers = work_and_kill(&home, &key, ledgers, &mut dice, &mut account).await?;
        let judged = judge(&home, &key, &mut ledgers, round, &mut account).await;
        judged.with_context(|| format!("after kill {}; {}", round + 1, home.folder().display()))?;
    }
    check_audit_and_outbox(&home.catalog_path(), &ledgers)?;
    writeln!(std::io::stderr(), "{account}")?;
    ensure!(account.kills == kills && account.acknowledged() > kills * 10, "hardly anything was done");
    ensure!(account.done_unanswered > 0 && account.not_done > 0, "no kill hit both sides of a commit");
    ensure!(account.orphans_found > 0, "no kill hit a save between its bytes and its record");
    ensure!(account.reserved_bytes_released > 0, "no kill hit a save with a promise of room");
    Ok(())
}

async fn ledgers(home: &Home) -> Result<Vec<Ledger>> {
    let catalog = SqliteCatalog::open(home.catalog_path(), CatalogOptions::default())?;
    let mut ledgers = Vec::new();
    for client in 0..CLIENTS {
        let ledger = Ledger {
            user: format!("client-{client}"),
            max_bytes: (client % 2 == 0).then_some(QUOTA_BYTES),
            ..Ledger::default()
        };
        let quota = Quota { max_bytes: ledger.max_bytes, max_files: None };
        catalog.set_quota(&UserId::new(&ledger.user)?, Some(quota)).await?;
        ledgers.push(ledger);
    }
    catalog.close().await?;
    Ok(ledgers)
}

/// Lets every client work, and kills the service amid that.
async fn work_and_kill(
    home: &Home,
    key: &str,
    ledgers: Vec<Ledger>,
    dice: &mut Dice,
    account: &mut Account,
) -> Result<Vec<Ledger>> {
    let serving = home.serve()?;
    let api = serving.api(key)?;
    let trigger = Trigger::new(60 + dice.below(300));
    let tally = &account.tally;
    let clients = ledgers
        .into_iter()
        .map(|ledger| work(&api, ledger, Dice::new(dice.below(u64::MAX)), &trigger, tally));
    let killed = async {
        trigger.reached().await;
        serving.kill()
    };
    let (ledgers, _log) = tokio::try_join!(try_join_all(clients), killed)?;
    account.kills += 1;
    Ok(ledgers)
}

/// Checks what a kill left: in every second round before anything was repaired, by a service that finds all as it was
/// left.
async fn judge(
    home: &Home,
    key: &str,
    ledgers: &mut [Ledger],
    round: u64,
    account: &mut Account,
) -> Result<()> {
    let serving = if round.is_multiple_of(2) {
        repair(home, account)?;
        start_and_check(home, key, ledgers, account).await?
    } else {
        let serving = start_and_check(home, key, ledgers, account).await?;
        repair(home, account)?;
        serving
    };
    let api = serving.api(key)?;
    try_join_all(ledgers.iter().map(|ledger| check_nothing_is_reserved(&api, ledger))).await?;
    let (code, report) = home.json(&["catalog", "fsck", "--age", "0s"])?;
    let versions: u64 = ledgers.iter().map(|ledger| ledger.usage().2).sum();
    let found = &report["backends"][BACKEND];
    ensure!(
        code == 0 && found["objects"] == versions && found["versions"] == versions,
        "{versions}: {report}"
    );
    serving.stop()?;
    Ok(())
}

async fn start_and_check(
    home: &Home,
    key: &str,
    ledgers: &mut [Ledger],
    account: &mut Account,
) -> Result<Serving> {
    let serving = home.serve()?;
    let api: Api = serving.api(key)?;
    for checked in try_join_all(ledgers.iter_mut().map(|ledger| check(&api, ledger))).await? {
        account.versions_read += checked.versions_read;
        account.done_unanswered += u64::from(checked.was_done == Some(true));
        account.not_done += u64::from(checked.was_done == Some(false));
    }
    Ok(serving)
}

/// What the check finds is nobody's and nothing else, and the repair leaves nothing to find.
fn repair(home: &Home, account: &mut Account) -> Result<()> {
    let (_, found) = home.json(&["catalog", "fsck", "--age", "0s"])?;
    let backend = &found["backends"][BACKEND];
    let is_empty = |list: &Value| list.as_array().is_some_and(Vec::is_empty);
    for list in [&found["catalog_problems"], &found["wrong_usage"]] {
        ensure!(is_empty(list), "{found}");
    }
    for name in ["unexplained", "missing", "wrong_size"] {
        ensure!(is_empty(&backend[name]), "{name}: {found}");
    }
    account.orphans_found += backend["orphans"].as_array().context("a list")?.len() as u64;
    let (code, repaired) = home.json(&["catalog", "fsck", "--age", "0s", "--repair"])?;
    ensure!(code == 0, "{repaired}");
    account.objects_removed += repaired["removed_objects"].as_u64().context("a number")?;
    account.reserved_bytes_released += repaired["released_bytes"].as_u64().context("a number")?;
    Ok(())
}

/// Whatever is there was written down when it came, once: in the audit log, and for those who are told of events.
fn check_audit_and_outbox(catalog: &Path, ledgers: &[Ledger]) -> Result<()> {
    let database = rusqlite::Connection::open(catalog)?;
    let count = |sql: &str, id: &[u8]| database.query_row(sql, [id], |row| row.get::<_, u64>(0));
    for ledger in ledgers {
        for (file, versions) in &ledger.files {
            for (version, content) in versions {
                let id = version.parse::<uuid::Uuid>()?;
                let lines = count(
                    "SELECT COUNT(*) FROM audit WHERE version_id = ?1 AND outcome = 'ok' \
                     AND action IN ('save', 'copy', 'restore_version')",
                    id.as_bytes(),
                )?;
                ensure!(lines == 1, "{lines} audit lines tell of {version} of {file}, {content:?}");
            }
            let id = file.parse::<uuid::Uuid>()?;
            let saved = count(
                "SELECT COUNT(*) FROM outbox WHERE file_id = ?1 AND type = 'file.saved'",
                id.as_bytes(),
            )?;
            ensure!(saved == 1, "{saved} events tell of {file}");
        }
        for file in &ledger.gone {
            let id = file.parse::<uuid::Uuid>()?;
            let deleted = count(
                "SELECT COUNT(*) FROM outbox WHERE file_id = ?1 AND type = 'file.deleted'",
                id.as_bytes(),
            )?;
            ensure!(deleted == 1, "{deleted} events tell of the end of {file}");
        }
    }
    Ok(())
}
