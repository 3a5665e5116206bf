//! Quotas: never overshot, never a byte refused that fits, whoever else saves at the same time.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::*;
use crate::catalog::ReservationId;

const HOUR: Duration = Duration::from_secs(3_600);

fn bytes(max_bytes: u64) -> Quota {
    Quota { max_bytes: Some(max_bytes), max_files: None }
}

#[tokio::test]
async fn a_reservation_becomes_usage_with_the_commit() {
    let catalog = with_quota(bytes(100));
    let mut file = new_file("anna", "a", 60);
    let reservation = catalog.reserve(&file.user, 60, 1, HOUR).await.expect("it fits");
    let usage = catalog.usage(&file.user).await.expect("usage");
    assert_eq!((usage.bytes, usage.reserved_bytes, usage.reserved_files), (0, 60, 1));
    assert_eq!(usage.quota, bytes(100));
    file.reservation = Some(reservation);
    catalog.save(&file).await;
    let usage = catalog.usage(&file.user).await.expect("usage");
    assert_eq!((usage.bytes, usage.files, usage.reserved_bytes, usage.reserved_files), (60, 1, 0, 0));
    catalog.release_reservation(reservation).await.expect("releasing what is gone succeeds");
    assert_eq!(catalog.usage(&file.user).await.expect("usage"), usage);
    catalog.assert_sound().await;
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_the_numbers_and_one_event() {
    let catalog = with_quota(bytes(100));
    let anna = user("anna");
    let held = catalog.reserve(&anna, 70, 1, HOUR).await.expect("it fits");
    for _ in 0..3 {
        let error = catalog.reserve(&anna, 31, 1, HOUR).await.expect_err("one byte too many");
        assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
        let text = error.to_string();
        for fact in ["limit_bytes: 100", "used_bytes: 70", "requested_bytes: 31", "user: anna"] {
            assert!(text.contains(fact), "{text}");
        }
    }
    let events = catalog.events();
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["type"], &events[0]["requested_bytes"]), (&"quota.exceeded".into(), &31.into()));
    catalog.reserve(&anna, 30, 0, HOUR).await.expect("exactly full");
    catalog.release_reservation(held).await.expect("released");
    assert_eq!(catalog.usage(&anna).await.expect("usage").reserved_bytes, 30);
    let huge = catalog.reserve(&anna, u64::MAX, u64::MAX, HOUR).await;
    assert_eq!(kind(huge), ErrorKind::QuotaExceeded);
    catalog.assert_sound().await;
}

#[tokio::test]
async fn a_refused_commit_leaves_everything_and_the_reservation() {
    let catalog = with_quota(bytes(100));
    let mut file = new_file("anna", "a", 101);
    assert_eq!(
        kind(catalog.commit_version(file.clone(), audit("anna", "save")).await),
        ErrorKind::QuotaExceeded
    );
    let reservation = catalog.reserve(&file.user, 40, 1, HOUR).await.expect("it fits");
    file.reservation = Some(reservation);
    assert_eq!(
        kind(catalog.commit_version(file.clone(), audit("anna", "save")).await),
        ErrorKind::QuotaExceeded
    );
    let usage = catalog.usage(&file.user).await.expect("usage");
    assert_eq!((usage.bytes, usage.reserved_bytes, usage.reserved_files), (0, 40, 1));
    catalog.grow_reservation(reservation, 60, HOUR).await.expect("up to the limit");
    assert_eq!(kind(catalog.grow_reservation(reservation, 1, HOUR).await), ErrorKind::QuotaExceeded);
    // More than was reserved, and yet it fits.
    file.size_bytes = 100;
    catalog.save(&file).await;
    assert_eq!(kind(catalog.grow_reservation(reservation, 1, HOUR).await), ErrorKind::NotFound);
    catalog.assert_sound().await;
}

#[tokio::test]
async fn files_are_limited_as_bytes_are_and_new_versions_are_no_files() {
    let catalog = with_quota(Quota { max_bytes: None, max_files: Some(1) });
    let file = new_file("anna", "a", 10);
    catalog.save(&file).await;
    let another = new_file("anna", "b", 10);
    assert_eq!(kind(catalog.commit_version(another, audit("anna", "save")).await), ErrorKind::QuotaExceeded);
    assert_eq!(kind(catalog.reserve(&file.user, 0, 1, HOUR).await), ErrorKind::QuotaExceeded);
    catalog.save(&next_version(&file, Base::Current, 10)).await;
    catalog.save(&new_file("bert", "b", 10)).await;
    catalog.delete_file(&file.user, file.file, None, audit("anna", "delete")).await.expect("no fault");
    catalog.save(&new_file("anna", "b", 10)).await;
    catalog.assert_sound().await;
}

#[tokio::test]
async fn a_quota_of_ones_own_takes_the_place_of_the_default() {
    let catalog = with_quota(bytes(100));
    let anna = user("anna");
    catalog.set_quota(&anna, Some(Quota::default())).await.expect("set");
    let held = catalog.reserve(&anna, 1_000, 1, HOUR).await.expect("no limit");
    catalog.set_quota(&anna, Some(bytes(10))).await.expect("set");
    assert_eq!(catalog.usage(&anna).await.expect("usage").quota, bytes(10));
    assert_eq!(kind(catalog.reserve(&anna, 1, 1, HOUR).await), ErrorKind::QuotaExceeded);
    // What was promised before the quota was lowered holds.
    let mut file = new_file("anna", "a", 1_000);
    file.reservation = Some(held);
    catalog.save(&file).await;
    catalog.set_quota(&anna, None).await.expect("set");
    assert_eq!(catalog.usage(&anna).await.expect("usage").quota, bytes(100));
    // Who is over the limit can still save what takes no room.
    catalog.save(&next_version(&file, Base::Current, 0)).await;
    catalog.assert_sound().await;
}

#[tokio::test]
async fn a_lapsed_reservation_stands_in_nobodys_way() {
    let catalog = with_quota(bytes(100));
    let anna = user("anna");
    let lapsed = catalog.reserve(&anna, 100, 1, Duration::ZERO).await.expect("it fits");
    assert_eq!(catalog.usage(&anna).await.expect("usage").reserved_bytes, 0);
    assert_eq!(kind(catalog.grow_reservation(lapsed, 0, HOUR).await), ErrorKind::NotFound);
    let mut late = new_file("anna", "a", 100);
    late.reservation = Some(lapsed);
    catalog.save(&late).await;
    catalog.delete_file(&anna, late.file, None, audit("anna", "delete")).await.expect("no fault");

    catalog.reserve(&anna, 100, 1, Duration::ZERO).await.expect("it fits");
    let held = catalog.reserve(&anna, 100, 1, HOUR).await.expect("the lapsed one is taken back first");
    let unknown = ReservationId(uuid::Uuid::from_u128(1));
    late = new_file("anna", "b", 100);
    late.reservation = Some(unknown);
    let refused = catalog.commit_version(late.clone(), audit("anna", "save")).await;
    assert_eq!(kind(refused), ErrorKind::QuotaExceeded);
    late.user = user("bert");
    late.reservation = Some(held);
    let refused = catalog.commit_version(late, audit("bert", "save")).await;
    assert_eq!(kind(refused), ErrorKind::InvalidArgument);
    assert_eq!(catalog.usage(&anna).await.expect("usage").reserved_bytes, 100);
    catalog.assert_sound().await;
}

#[tokio::test]
async fn what_lapsed_while_the_catalog_was_closed_is_taken_back_when_it_opens() {
    let catalog = fixture();
    catalog.reserve(&user("anna"), 100, 1, Duration::ZERO).await.expect("no limit");
    catalog.close().await.expect("closed");
    let reopened = reopen(&catalog.folder);
    let count = catalog.look().query_row("SELECT COUNT(*) FROM reservations", [], |row| row.get::<_, u32>(0));
    assert_eq!(count.expect("a number"), 0);
    assert_eq!(reopened.check_usage(false).await.expect("usage"), []);
}

/// 64 writers want 4 KiB each where 100 KiB are left: 25 get them, to the byte, through two catalogs that share
/// the file as two processes would.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_that_race_for_the_last_bytes_never_overshoot_and_never_waste_one() {
    let folder = TempDir::new().expect("a temporary folder");
    let options = CatalogOptions { default_quota: bytes(100 << 10), ..CatalogOptions::default() };
    let open = || SqliteCatalog::open(folder.path().join("catalog.db"), options).expect("it opens");
    let catalogs = [Arc::new(open()), Arc::new(open())];
    let mut writers = JoinSet::new();
    for number in 0..64_u64 {
        let catalog = Arc::clone(&catalogs[number as usize % 2]);
        writers.spawn(async move {
            let mut file = new_file("anna", &format!("{number}"), 4 << 10);
            // Some know the size at once, some find it out on the way, some do not reserve, some give up.
            let reservation = match number % 4 {
                0 => Some(catalog.reserve(&file.user, 4 << 10, 1, HOUR).await?),
                1 => {
                    let reservation = catalog.reserve(&file.user, 1 << 10, 1, HOUR).await?;
                    if let Err(error) = catalog.grow_reservation(reservation, 3 << 10, HOUR).await {
                        catalog.release_reservation(reservation).await?;
                        return Err(error);
                    }
                    Some(reservation)
                }
                _ => None,
            };
            file.reservation = reservation;
            catalog.commit_version(file, audit("anna", "save")).await.map(drop)
        });
    }
    let mut saved = 0;
    while let Some(outcome) = writers.join_next().await {
        match outcome.expect("no panic") {
            Ok(()) => saved += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::QuotaExceeded),
        }
    }
    let usage = catalogs[0].usage(&user("anna")).await.expect("usage");
    assert_eq!(usage.bytes, saved * (4 << 10));
    assert!(usage.bytes <= 100 << 10);
    assert_eq!((usage.reserved_bytes, usage.reserved_files), (0, 0));
    // Those that grew their reservation may have refused each other; whoever comes now gets all that is left.
    let left = (100 << 10) - usage.bytes;
    let mut last = new_file("anna", "last", left + 1);
    let refused = catalogs[1].commit_version(last.clone(), audit("anna", "save")).await;
    assert_eq!(kind(refused), ErrorKind::QuotaExceeded);
    last.size_bytes = left;
    catalogs[1].commit_version(last, audit("anna", "save")).await.expect("every byte that fits");
    assert_eq!(catalogs[0].check_usage(false).await.expect("usage"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn exactly_as_many_equal_saves_succeed_as_fit() {
    let catalog = Arc::new(with_quota(bytes(100 << 10)));
    let mut writers = JoinSet::new();
    for number in 0..64 {
        let catalog = Arc::clone(&catalog);
        writers.spawn(async move {
            let mut file = new_file("anna", &format!("{number}"), 4 << 10);
            file.reservation = catalog.reserve(&file.user, 4 << 10, 1, HOUR).await.ok();
            let saved = file.reservation.is_some();
            if saved {
                catalog.save(&file).await;
            }
            saved
        });
    }
    let outcomes = writers.join_all().await;
    assert_eq!(outcomes.into_iter().filter(|saved| *saved).count(), 25);
    assert_eq!(catalog.usage(&user("anna")).await.expect("usage").bytes, 100 << 10);
    catalog.assert_sound().await;
}
