//! Files and versions: added, read, deleted, found again; and that nobody sees another's.

use std::time::Duration;

use super::*;
use crate::catalog::{FileQuery, Garbage, Totals};

#[tokio::test]
async fn a_saved_file_reads_back_whole() {
    let catalog = fixture();
    let new = new_file("anna", "résumé.pdf", 10);
    let saved = catalog.save(&new).await;
    assert_eq!(saved, catalog.file(&new.user, new.file).await.expect("it is there"));
    assert_eq!(saved.current.number, 1);
    assert_eq!(saved.current.filename, "résumé.pdf");
    assert_eq!(saved.current.metadata, new.metadata);
    assert_eq!(saved.current.digests, new.digests);
    assert_eq!(saved.current.placements, std::slice::from_ref(&new.placement));
    assert_eq!(saved.created_at, new.created_at);
    let version = catalog.version(&new.user, new.file, new.version).await.expect("its version");
    assert_eq!(version, saved.current);
    let placed = catalog.placements_after("local", None, 10).await.expect("its placement");
    assert_eq!(placed.iter().map(|placed| placed.digests).collect::<Vec<_>>(), [new.digests]);

    let events = catalog.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["type"], "file.saved");
    assert_eq!(events[0]["file_id"], new.file.to_string());
    assert_eq!(events[0]["actor"], "key:tests");
    assert_eq!(events[0]["correlation_id"], "c-1");
    assert_eq!(catalog.audit_log(None, 10).await.expect("the log"), [audit("anna", "save")]);
    assert_eq!(catalog.owner(new.file).await.expect("its owner"), new.user);
    assert_eq!(kind(catalog.owner(FileId::new()).await), ErrorKind::NotFound);
    catalog.assert_sound().await;
}

#[tokio::test]
async fn each_version_becomes_the_current_one_and_keeps_the_others() {
    let catalog = fixture();
    let first = new_file("anna", "a", 10);
    catalog.save(&first).await;
    let mut second = next_version(&first, Base::Current, 20);
    second.filename = "b".to_owned();
    second.created_at = at(5);
    let file = catalog.save(&second).await;
    assert_eq!(file.current.number, 2);
    assert_eq!(file.created_at, at(0));
    assert_eq!(file, catalog.file(&first.user, first.file).await.expect("it is there"));
    let third = next_version(&second, Base::Version(second.version), 30);
    catalog.save(&third).await;
    let numbers: Vec<_> = catalog
        .versions(&first.user, first.file)
        .await
        .expect("versions")
        .into_iter()
        .map(|version| (version.number, version.id, version.placements.len()))
        .collect();
    assert_eq!(numbers, [(3, third.version, 1), (2, second.version, 1), (1, first.version, 1)]);
    let usage = catalog.usage(&first.user).await.expect("usage");
    assert_eq!((usage.bytes, usage.files, usage.versions), (60, 1, 3));
    assert_eq!(catalog.events()[1]["type"], "file.version_saved");
    catalog.assert_sound().await;
}

#[tokio::test]
async fn a_version_whose_base_does_not_hold_is_refused_and_changes_nothing() {
    let catalog = fixture();
    let first = new_file("anna", "a", 10);
    catalog.save(&first).await;
    let commit = |version: NewVersion| catalog.commit_version(version, audit("anna", "save"));

    assert_eq!(kind(commit(next_version(&first, Base::NewFile, 1)).await), ErrorKind::AlreadyExists);
    let stale = next_version(&first, Base::Version(FileVersionId::new()), 1);
    assert_eq!(kind(commit(stale).await), ErrorKind::PreconditionFailed);
    let nothing = new_file("anna", "a", 1);
    assert_eq!(kind(commit(next_version(&nothing, Base::Current, 1)).await), ErrorKind::NotFound);
    let mut again = first.clone();
    again.base = Base::Current;
    assert_eq!(kind(commit(again).await), ErrorKind::AlreadyExists);
    let mut same_object = new_file("anna", "b", 1);
    same_object.placement = first.placement.clone();
    assert_eq!(kind(commit(same_object).await), ErrorKind::AlreadyExists);
    let mut huge = new_file("anna", "b", u64::MAX);
    huge.created_at = at(9);
    assert_eq!(kind(commit(huge).await), ErrorKind::QuotaExceeded);

    let usage = catalog.usage(&first.user).await.expect("usage");
    assert_eq!((usage.bytes, usage.files, usage.versions), (10, 1, 1));
    assert_eq!(catalog.audit_log(None, 10).await.expect("the log").len(), 1);
    assert_eq!(catalog.events().iter().filter(|event| event["type"] != "quota.exceeded").count(), 1);
    catalog.assert_sound().await;
}

#[tokio::test]
async fn the_file_of_somebody_else_looks_like_none_in_every_operation() {
    let catalog = fixture();
    let hers = new_file("anna", "a", 10);
    catalog.save(&hers).await;
    let second = next_version(&hers, Base::Current, 5);
    catalog.save(&second).await;
    let bert = user("bert");
    let missing = FileId::new();
    for file in [hers.file, missing] {
        let texts = |error: storage_core::Error| {
            let context: Vec<_> = error.context().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(context, [format!("file={file}")]);
            format!("{} {}", error.kind(), error.message())
        };
        let errors = [
            catalog.file(&bert, file).await.map(drop).map_err(texts),
            catalog.version(&bert, file, hers.version).await.map(drop).map_err(texts),
            catalog.versions(&bert, file).await.map(drop).map_err(texts),
        ];
        assert!(errors.iter().all(|error| error == &errors[0]), "{errors:?}");
        assert!(errors[0].as_ref().is_err_and(|text| text.contains("there is no such file")));
        for base in [Base::Current, Base::Version(hers.version)] {
            let mut theft = next_version(&hers, base, 1);
            theft.user = bert.clone();
            theft.file = file;
            assert_eq!(kind(catalog.commit_version(theft, audit("bert", "save")).await), ErrorKind::NotFound);
        }
        assert_eq!(
            catalog.delete_file(&bert, file, None, audit("bert", "delete")).await.expect("no fault"),
            None
        );
        for version in [hers.version, second.version] {
            let deleted = catalog.delete_version(&bert, file, version, audit("bert", "delete")).await;
            assert_eq!(deleted.expect("no fault"), None);
        }
    }
    let query = FileQuery { limit: 10, ..FileQuery::default() };
    assert_eq!(catalog.list(&bert, query).await.expect("a page").files, []);
    assert_eq!(catalog.usage(&bert).await.expect("usage").versions, 0);
    assert_eq!(catalog.file(&hers.user, hers.file).await.expect("still hers").current.number, 2);
    assert_eq!(catalog.audit_log(Some(&bert), 10).await.expect("the log"), []);
    catalog.assert_sound().await;
}

#[tokio::test]
async fn a_deleted_file_is_gone_and_its_objects_are_garbage() {
    let catalog = fixture();
    let (first, other) = (new_file("anna", "a", 10), new_file("anna", "b", 1));
    catalog.save(&first).await;
    catalog.save(&other).await;
    let second = next_version(&first, Base::Current, 20);
    catalog.save(&second).await;
    let mut garbage = catalog
        .delete_file(&first.user, first.file, None, audit("anna", "delete"))
        .await
        .expect("no fault")
        .expect("it was there");
    garbage.sort_by(|a, b| a.key.cmp(&b.key));
    let mut keys = [first.placement.key.clone(), second.placement.key.clone()];
    keys.sort();
    assert!(garbage.iter().map(|garbage| &garbage.key).eq(&keys));

    assert_eq!(kind(catalog.file(&first.user, first.file).await), ErrorKind::NotFound);
    let again = catalog.delete_file(&first.user, first.file, None, audit("anna", "delete")).await;
    assert_eq!(again.expect("no fault"), None);
    let usage = catalog.usage(&first.user).await.expect("usage");
    assert_eq!((usage.bytes, usage.files, usage.versions), (1, 1, 1));
    let deleted = catalog.events().pop().expect("an event");
    assert_eq!((&deleted["type"], &deleted["size_bytes"]), (&"file.deleted".into(), &30.into()));

    assert_eq!(catalog.garbage(Duration::from_secs(60), None, 10).await.expect("garbage"), []);
    assert_eq!(catalog.garbage(Duration::ZERO, None, 1).await.expect("garbage").len(), 1);
    assert_eq!(catalog.garbage(Duration::ZERO, None, 10).await.expect("garbage"), garbage);
    catalog.forget_garbage(&garbage[..1]).await.expect("forgotten");
    assert_eq!(catalog.garbage(Duration::ZERO, None, 10).await.expect("garbage"), garbage[1..]);
    catalog.assert_sound().await;
}

#[tokio::test]
async fn a_version_can_be_deleted_unless_it_is_current_and_its_number_never_returns() {
    let catalog = fixture();
    let first = new_file("anna", "a", 10);
    catalog.save(&first).await;
    let second = next_version(&first, Base::Current, 20);
    catalog.save(&second).await;
    let delete = |version| catalog.delete_version(&first.user, first.file, version, audit("anna", "delete"));

    assert_eq!(kind(delete(second.version).await), ErrorKind::InvalidArgument);
    assert_eq!(delete(FileVersionId::new()).await.expect("no fault"), None);
    let garbage = delete(first.version).await.expect("no fault").expect("it was there");
    assert_eq!(garbage[0].key, first.placement.key);
    assert_eq!(kind(catalog.version(&first.user, first.file, first.version).await), ErrorKind::NotFound);
    assert_eq!(catalog.usage(&first.user).await.expect("usage").bytes, 20);
    assert_eq!(catalog.events().pop().expect("an event")["type"], "version.deleted");

    let third = next_version(&first, Base::Current, 1);
    assert_eq!(catalog.save(&third).await.current.number, 3);
    assert!(delete(second.version).await.expect("no fault").is_some());
    let fourth = next_version(&first, Base::Current, 1);
    assert_eq!(catalog.save(&fourth).await.current.number, 4);
    catalog.assert_sound().await;
}

#[tokio::test]
async fn totals_count_the_users_who_have_files() {
    let catalog = fixture();
    let (one, two, other) = (new_file("anna", "a", 1), new_file("anna", "b", 2), new_file("bert", "c", 4));
    for file in [&one, &two, &other] {
        catalog.save(file).await;
    }
    catalog.save(&next_version(&one, Base::Current, 8)).await;
    let totals = catalog.totals().await.expect("totals");
    assert_eq!(totals, Totals { files: 3, versions: 4, bytes: 15, users: 2 });
    for file in [&one, &two] {
        catalog.delete_file(&file.user, file.file, None, audit("anna", "delete")).await.expect("no fault");
    }
    assert_eq!(catalog.totals().await.expect("totals"), Totals { files: 1, versions: 1, bytes: 4, users: 1 });
}

#[tokio::test]
async fn what_a_backend_holds_is_listed_by_the_bytes_of_its_keys() {
    let catalog = fixture();
    for name in ["b", "a/x", "a", "Z", "é", "a!"] {
        let mut file = new_file("anna", name, 3);
        file.placement.key = ObjectKey::new(name).expect("a legal key");
        catalog.save(&file).await;
        let mut elsewhere = file.clone();
        elsewhere.base = Base::Current;
        elsewhere.version = FileVersionId::new();
        elsewhere.placement.backend = "other".to_owned();
        catalog.save(&elsewhere).await;
    }
    let mut keys = Vec::new();
    loop {
        let after = keys.last().cloned();
        let page = catalog.placements_after("local", after.as_deref(), 4).await.expect("a page");
        if page.is_empty() {
            break;
        }
        assert!(page.iter().all(|placed| placed.user == user("anna") && placed.size_bytes == 3));
        keys.extend(page.into_iter().map(|placed| placed.key.to_string()));
    }
    assert_eq!(keys, ["Z", "a", "a!", "a/x", "b", "é"]);
    for (known, elsewhere) in [
        (&["local", "other"][..], &[][..]),
        (&["other", "unused"], &[("local", 6)]),
        (&["lo", "others"], &[("local", 6), ("other", 6)]),
    ] {
        let known = known.iter().map(|name| (*name).to_owned()).collect();
        let found = catalog.versions_elsewhere(known).await.expect("what lies elsewhere");
        let found: Vec<_> = found.iter().map(|(name, versions)| (name.as_str(), *versions)).collect();
        assert_eq!(found, elsewhere);
    }
}

#[tokio::test]
async fn found_versions_take_their_places_whatever_the_order_they_are_found_in() {
    let original = new_file("anna", "a", 1);
    let versions: Vec<NewVersion> = (0..4)
        .map(|number| {
            let mut version = next_version(&original, Base::Current, 10 + number);
            version.created_at = at(number);
            version.filename = format!("name-{number}");
            version
        })
        .collect();
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
        let catalog = fixture();
        for at in order {
            assert!(catalog.adopt_version(versions[at].clone()).await.expect("adopted"));
            assert!(!catalog.adopt_version(versions[at].clone()).await.expect("there already"));
        }
        let found = catalog.versions(&original.user, original.file).await.expect("versions");
        let numbers: Vec<_> = found.iter().map(|version| (version.number, version.id)).collect();
        let expected: Vec<_> = (0..4).rev().map(|at| (at as u64 + 1, versions[at].version)).collect();
        assert_eq!(numbers, expected);
        let file = catalog.file(&original.user, original.file).await.expect("the file");
        assert_eq!((file.current.id, file.created_at), (versions[3].version, at(0)));
        let query = FileQuery { filename_prefix: "name-3".to_owned(), limit: 5, ..FileQuery::default() };
        assert_eq!(catalog.list(&original.user, query).await.expect("a page").files, [file]);
        assert_eq!(catalog.save(&next_version(&original, Base::Current, 1)).await.current.number, 5);
        assert_eq!(catalog.audit_log(None, 10).await.expect("the log").len(), 1);
        catalog.assert_sound().await;
    }
}

#[tokio::test]
async fn a_found_object_that_was_given_up_stays_given_up() {
    let catalog = fixture();
    let file = new_file("anna", "a", 1);
    catalog.save(&file).await;
    catalog.delete_file(&file.user, file.file, None, audit("anna", "delete")).await.expect("no fault");
    assert!(!catalog.adopt_version(file.clone()).await.expect("no fault"));
    assert_eq!(kind(catalog.file(&file.user, file.file).await), ErrorKind::NotFound);

    let hers = new_file("anna", "b", 1);
    catalog.save(&hers).await;
    let mut claimed = next_version(&hers, Base::Current, 1);
    claimed.user = user("bert");
    assert_eq!(kind(catalog.adopt_version(claimed).await), ErrorKind::Conflict);
    catalog.assert_sound().await;
}

#[tokio::test]
async fn counters_that_differ_are_told_and_repaired() {
    let catalog = fixture();
    let file = new_file("anna", "a", 10);
    catalog.save(&file).await;
    catalog.save(&new_file("bert", "a", 10)).await;
    catalog.look().execute("UPDATE users SET bytes = 3 WHERE user_id = 'anna'", []).expect("altered");
    catalog.look().execute("UPDATE totals SET files = 9", []).expect("altered");
    assert_eq!(catalog.check_usage(false).await.expect("usage"), [user("anna")]);
    assert_eq!(catalog.check_integrity().await.expect("integrity").len(), 1);
    assert_eq!(catalog.check_usage(true).await.expect("usage"), [user("anna")]);
    assert_eq!(catalog.usage(&file.user).await.expect("usage").bytes, 10);
    catalog.assert_sound().await;
}

#[tokio::test]
async fn the_audit_log_is_newest_first_and_cannot_be_changed() {
    let catalog = fixture();
    for (owner, action) in [("anna", "save"), ("bert", "retrieve"), ("anna", "link")] {
        catalog.audit(audit(owner, action)).await.expect("taken");
    }
    // Whatever is committed after it follows it in the log.
    catalog.set_quota(&user("anna"), None).await.expect("set");
    let actions = |log: Vec<AuditEntry>| log.into_iter().map(|line| line.action).collect::<Vec<_>>();
    assert_eq!(actions(catalog.audit_log(None, 10).await.expect("the log")), ["link", "retrieve", "save"]);
    assert_eq!(actions(catalog.audit_log(None, 2).await.expect("the log")), ["link", "retrieve"]);
    let hers = catalog.audit_log(Some(&user("anna")), 10).await.expect("the log");
    assert_eq!(actions(hers), ["link", "save"]);
    for change in ["UPDATE audit SET outcome = 'x'", "DELETE FROM audit"] {
        let error = catalog.look().execute(change, []).expect_err("the log is append-only");
        assert!(error.to_string().contains("append-only"));
    }
}

#[tokio::test]
async fn objects_without_a_version_are_told_once_nobody_renews_them() {
    let catalog = fixture();
    let object =
        |name: &str| Garbage { backend: "local".to_owned(), key: ObjectKey::new(name).expect("a legal key") };
    let file = new_file("anna", "a", 1);
    let saved = Garbage { backend: "local".to_owned(), key: file.placement.key.clone() };
    for object in [&object("a"), &object("b"), &object("c"), &saved] {
        catalog.begin_object(object).await.expect("recorded");
        catalog.begin_object(object).await.expect("renewed");
    }
    catalog.abandon_object(&object("b")).await.expect("forgotten");
    catalog.save(&file).await;
    let unfinished = |age, limit| catalog.unfinished_objects(age, None, limit);
    assert_eq!(unfinished(Duration::from_secs(60), 10).await.expect("none so old"), []);
    assert_eq!(unfinished(Duration::ZERO, 10).await.expect("two"), [object("a"), object("c")]);
    assert_eq!(unfinished(Duration::ZERO, 1).await.expect("one"), [object("a")]);
    // A record that outlived the commit, as when the process died in between, is dropped on the way.
    catalog.begin_object(&saved).await.expect("recorded");
    assert_eq!(unfinished(Duration::ZERO, 10).await.expect("two"), [object("a"), object("c")]);
    let beside = super::super::objects::path_beside(catalog.path());
    let beside = rusqlite::Connection::open(beside).expect("the record opens");
    let count = beside.query_row("SELECT COUNT(*) FROM unfinished", [], |row| row.get::<_, u32>(0));
    assert_eq!(count.expect("a number"), 2);
}
