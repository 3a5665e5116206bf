//! Who did what to whose file: a line for everything, failures included, and an event for every change.

use storage_core::{ErrorKind, correlation};
use storage_host::catalog::{FileId, FileQuery, FileVersionId};
use storage_host::events::What;
use storage_host::service::{Actor, CopyFileOptions, Metadata};
use storage_tests::rig::Rig;

use super::{refused, replacing, user};

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_writes_its_line_with_actor_correlation_and_outcome_and_every_change_one_event() {
    let rig = Rig::memory();
    let ann = user("ann");
    let actor = Actor { name: "key:ats".to_owned(), remote: Some("192.0.2.7".to_owned()) };
    let service = rig.service.with_actor(actor);
    let missing = FileId::new();
    let (file, second, copy) = correlation::scope("req-1", async {
        let id = service.save("one", "a.txt", &ann, Metadata::new()).await.expect("saved");
        let file = service.metadata(id, &ann, None).await.expect("there");
        let second = service.save_with("two", "a.txt", &ann, replacing(&file)).await.expect("saved");
        service.retrieve(id, &ann).await.expect("there");
        service.versions(id, &ann).await.expect("there");
        service.list(&ann, FileQuery { limit: 10, ..FileQuery::default() }).await.expect("listed");
        service.get_download_url(id, &ann, None).await.expect("a link");
        let copy = service.copy(id, &ann, CopyFileOptions::default()).await.expect("copied");
        service.restore_version(id, &ann, file.version).await.expect("restored");
        assert!(service.delete_version(id, &ann, second.version).await.expect("deleted"));
        assert!(service.delete(copy.id, &ann).await.expect("deleted"));
        service.set_quota(&ann, None).await.expect("set");

        refused(service.save("x", "", &ann, Metadata::new()).await, ErrorKind::InvalidArgument);
        refused(service.retrieve(missing, &ann).await, ErrorKind::NotFound);
        refused(service.metadata(missing, &ann, None).await, ErrorKind::NotFound);
        refused(service.versions(missing, &ann).await, ErrorKind::NotFound);
        refused(service.get_download_url(missing, &ann, None).await, ErrorKind::NotFound);
        refused(service.copy(missing, &ann, CopyFileOptions::default()).await, ErrorKind::NotFound);
        refused(service.restore_version(missing, &ann, FileVersionId::new()).await, ErrorKind::NotFound);
        assert!(!service.delete(missing, &ann).await.expect("nothing there"));
        assert!(!service.delete_version(missing, &ann, FileVersionId::new()).await.expect("nothing there"));
        let bad = FileQuery { limit: 0, ..FileQuery::default() };
        refused(service.list(&ann, bad).await, ErrorKind::InvalidArgument);
        (file, second, copy)
    })
    .await;

    let lines = rig.audit(&ann).await;
    for line in &lines {
        assert_eq!(line.actor, "key:ats", "{line:?}");
        assert_eq!(line.remote.as_deref(), Some("192.0.2.7"), "{line:?}");
        assert_eq!(line.correlation_id.as_deref(), Some("req-1"), "{line:?}");
    }
    let mut told: Vec<_> =
        lines.iter().map(|line| (line.action.as_str(), line.outcome.as_str(), line.file)).collect();
    let (id, no) = (Some(file.id), Some(missing));
    let not_found = ErrorKind::NotFound.name();
    let invalid = ErrorKind::InvalidArgument.name();
    let mut expected = vec![
        ("save", "ok", id),
        ("metadata", "ok", id),
        ("save", "ok", id),
        ("retrieve", "ok", id),
        ("versions", "ok", id),
        ("list", "ok", None),
        ("link", "ok", id),
        ("copy", "ok", Some(copy.id)),
        ("restore_version", "ok", id),
        ("delete_version", "ok", id),
        ("delete", "ok", Some(copy.id)),
        ("set_quota", "ok", None),
        ("save", invalid, None),
        ("retrieve", not_found, no),
        ("metadata", not_found, no),
        ("versions", not_found, no),
        ("link", not_found, no),
        ("copy", not_found, no),
        ("restore_version", not_found, no),
        ("delete", not_found, no),
        ("delete_version", not_found, no),
        ("list", invalid, None),
    ];
    // Lines of changes are written with their changes, the others soon after.
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected);
    let saves: Vec<_> =
        lines.iter().filter(|line| line.action == "save").filter_map(|line| line.version).collect();
    assert_eq!(saves, [file.version, second.version]);

    let events = rig.events();
    for event in &events {
        assert_eq!(event.actor.as_deref(), Some("key:ats"), "{event:?}");
        assert_eq!(event.correlation_id.as_deref(), Some("req-1"), "{event:?}");
    }
    let what: Vec<_> = events
        .iter()
        .map(|event| match &event.what {
            What::FileSaved(saved) => ("saved", saved.file_id),
            What::VersionSaved(saved) => ("version saved", saved.file_id),
            What::FileDeleted { file_id, .. } => ("deleted", *file_id),
            What::VersionDeleted { file_id, .. } => ("version deleted", *file_id),
            other => panic!("unexpected: {other:?}"),
        })
        .collect();
    let (id, copy) = (file.id.as_uuid(), copy.id.as_uuid());
    assert_eq!(
        what,
        [
            ("saved", id),
            ("version saved", id),
            ("saved", copy),
            ("version saved", id),
            ("version deleted", id),
            ("deleted", copy)
        ]
    );
}
