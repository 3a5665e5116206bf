//! Somebody else's file looks like no file, whatever is asked of it.

use std::future::Future;

use storage_core::{ErrorKind, Result};
use storage_host::catalog::{FileId, FileQuery, FileVersionId, UserId};
use storage_host::service::{
    CopyFileOptions, LinkOptions, RetrieveFileOptions, SaveFileOptions, SimpleStorageService,
};
use storage_tests::rig::Rig;

use super::{RigExt, replacing, user};

/// What an answer says, without the ids that were asked for.
fn told<T>(result: Result<T>, file: FileId, version: FileVersionId) -> String {
    let error = result.err().expect("a missing file is an error");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{}", error.report());
    let context: Vec<_> = error.context().collect();
    let all =
        format!("{:?} {} {:?} {context:?} {}", error.kind(), error.message(), error.retry(), error.report());
    all.replace(&file.to_string(), "FILE").replace(&version.to_string(), "VERSION")
}

/// Everything that can be asked of a file and answers `NotFound`, by name.
async fn ask_everything(
    service: &SimpleStorageService,
    user: &UserId,
    file: FileId,
    version: FileVersionId,
) -> Vec<(&'static str, String)> {
    async fn answer<T>(
        answers: &mut Vec<(&'static str, String)>,
        name: &'static str,
        ids: (FileId, FileVersionId),
        work: impl Future<Output = Result<T>>,
    ) {
        answers.push((name, told(work.await, ids.0, ids.1)));
    }
    let ids = (file, version);
    let mut answers = Vec::new();
    let of_version = RetrieveFileOptions { version: Some(version), ..RetrieveFileOptions::default() };
    answer(&mut answers, "retrieve", ids, service.retrieve(file, user)).await;
    answer(&mut answers, "retrieve a version", ids, service.retrieve_with(file, user, of_version)).await;
    answer(&mut answers, "metadata", ids, service.metadata(file, user, None)).await;
    answer(&mut answers, "metadata of a version", ids, service.metadata(file, user, Some(version))).await;
    answer(&mut answers, "versions", ids, service.versions(file, user)).await;
    answer(&mut answers, "restore", ids, service.restore_version(file, user, version)).await;
    answer(&mut answers, "copy", ids, service.copy(file, user, CopyFileOptions::default())).await;
    let copy = CopyFileOptions { version: Some(version), ..CopyFileOptions::default() };
    answer(&mut answers, "copy a version", ids, service.copy(file, user, copy)).await;
    answer(&mut answers, "link", ids, service.get_download_url(file, user, None)).await;
    let link = LinkOptions { version: Some(version), ..LinkOptions::default() };
    answer(&mut answers, "link to a version", ids, service.get_download_url_with(file, user, link)).await;
    let replace = SaveFileOptions { replace: Some(file), ..SaveFileOptions::default() };
    answer(&mut answers, "replace", ids, service.save_with("x", "x", user, replace.clone())).await;
    let replace = SaveFileOptions { if_current: Some(version), ..replace };
    answer(&mut answers, "replace a version", ids, service.save_with("x", "x", user, replace)).await;
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_somebody_else_answers_like_one_that_does_not_exist_and_stays_as_it_is() {
    for rig in Rig::each().await {
        let (ann, bob) = (user("ann"), user("bob"));
        let first = rig.saved(&ann, "cv.pdf", "first").await;
        let second = rig.service.save_with("second", "cv.pdf", &ann, replacing(&first)).await.expect("saved");
        rig.saved(&bob, "own.txt", "own").await;
        let before = rig.service.versions(first.id, &ann).await.expect("there");
        let objects = rig.objects().await;

        for version in [first.version, second.version] {
            let foreign = ask_everything(&rig.service, &bob, first.id, version).await;
            let missing = ask_everything(&rig.service, &bob, FileId::new(), FileVersionId::new()).await;
            assert_eq!(foreign, missing);
            assert!(!rig.service.delete_version(first.id, &bob, version).await.expect("nothing to delete"));
        }
        assert!(!rig.service.delete(first.id, &bob).await.expect("nothing to delete"));
        assert!(!rig.service.delete(FileId::new(), &bob).await.expect("nothing to delete"));

        assert_eq!(rig.service.versions(first.id, &ann).await.expect("there"), before);
        assert_eq!(rig.text(&ann, &first).await, "second");
        assert_eq!(rig.objects().await, objects);
        assert_eq!(rig.service.usage(&bob).await.expect("usage").versions, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_show_the_files_of_their_user_alone() {
    let rig = Rig::memory();
    // Names that are prefixes of one another, and that differ in case only.
    let users = ["ann", "ann1", "Ann", "a"].map(user);
    for user in &users {
        for number in 0..3 {
            rig.saved(user, &format!("{user}-{number}.txt"), "x").await;
        }
    }
    for user in &users {
        let query = FileQuery { limit: 2, ..FileQuery::default() };
        let first = rig.service.list(user, query.clone()).await.expect("a page");
        let cursor = first.next_cursor.clone();
        assert!(cursor.is_some());
        let rest = rig
            .service
            .list(user, FileQuery { cursor: cursor.clone(), ..query.clone() })
            .await
            .expect("a page");
        let names: Vec<_> = first.files.iter().chain(&rest.files).map(|file| file.filename.clone()).collect();
        assert_eq!(names, [0, 1, 2].map(|number| format!("{user}-{number}.txt")));
        // A cursor of somebody else's gives nothing of his.
        let other = users.iter().find(|other| *other != user).expect("another");
        if let Ok(page) = rig.service.list(other, FileQuery { cursor, ..query }).await {
            assert!(page.files.iter().all(|file| file.user == *other));
        }
    }
}
