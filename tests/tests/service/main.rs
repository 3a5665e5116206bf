//! The service over real backends: what users get, and what is left behind when something goes wrong.

mod audit;
mod batch;
mod cancel;
mod delete;
mod digests;
mod isolation;
mod kill;
mod links;
mod names;
mod orphans;
mod quota;
mod read;
mod rebuild;
mod save;
mod scrub;
mod versions;

use storage_core::{Error, ErrorKind, Result};
use storage_host::catalog::UserId;
use storage_host::service::{FileContent, FileInfo, Metadata, SaveFileOptions};
use storage_tests::rig::Rig;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

fn user(name: &str) -> UserId {
    UserId::new(name).expect("a user")
}

/// The error of what must fail, of this kind.
fn refused<T>(result: Result<T>, kind: ErrorKind) -> Error {
    match result {
        Ok(_) => panic!("succeeded where {kind:?} was expected"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "{}", error.report());
            error
        }
    }
}

fn replacing(file: &FileInfo) -> SaveFileOptions {
    SaveFileOptions { replace: Some(file.id), ..SaveFileOptions::default() }
}

fn metadata<const N: usize>(pairs: [(&str, &str); N]) -> Metadata {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl RigExt for Rig {
    async fn saved(&self, user: &UserId, name: &str, content: &str) -> FileInfo {
        let content = content.to_owned();
        self.service.save_with(content, name, user, SaveFileOptions::default()).await.expect("saved")
    }

    async fn text(&self, user: &UserId, file: &FileInfo) -> String {
        let content = self.service.retrieve(file.id, user).await.expect("there");
        text(content).await
    }
}

/// Small things that most tests do.
trait RigExt {
    /// Saves a new file.
    async fn saved(&self, user: &UserId, name: &str, content: &str) -> FileInfo;

    /// Reads the current version.
    async fn text(&self, user: &UserId, file: &FileInfo) -> String;
}

async fn text(content: FileContent) -> String {
    String::from_utf8(content.bytes().await.expect("whole").to_vec()).expect("text")
}
