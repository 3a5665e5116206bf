//! Tests of the backend as a whole, inside the crate: a plugin is a library that nothing links.
//! What holds for every backend is the conformance suite's; here is what is particular to a disk.

mod durability;
mod faults;
mod listing;
mod parts;
mod sharing;

use std::path::PathBuf;

use bytes::Bytes;
use futures_util::stream;
use storage_core::{
    Backend, ByteStream, ConfigValues, ErrorKind, ObjectKey, OpenRequest, Result, RetrieveOptions,
    SaveOptions, SaveResult, VersionId,
};

use crate::LocalBackend;

/// A folder of its own, in which stores can be opened.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("store")
    }

    async fn open(&self) -> LocalBackend {
        self.open_with(&[]).await.expect("the store opens")
    }

    async fn open_with(&self, settings: &[(&str, &str)]) -> Result<LocalBackend> {
        let mut config = ConfigValues::new();
        config.set("path", self.root().display().to_string(), "test");
        for (key, text) in settings {
            config.set(*key, *text, "test");
        }
        LocalBackend::open(OpenRequest { name: "disk".to_owned(), config, ..OpenRequest::default() }).await
    }

    /// The files below `objects/` and in staging, without the folders.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders =
            vec![self.root().join("objects"), self.root().join("staging"), self.root().join("uploads")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(path.strip_prefix(self.root()).expect("below").display().to_string());
                }
            }
        }
        files.sort();
        files
    }
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).expect("a legal key")
}

async fn save(backend: &LocalBackend, text: &str, body: &str) -> SaveResult {
    backend.save(&key(text), body.to_owned().into(), SaveOptions::default()).await.expect("saved")
}

async fn read(backend: &LocalBackend, text: &str, version: Option<VersionId>) -> Result<String> {
    let options = RetrieveOptions { version, ..RetrieveOptions::default() };
    let found = backend.retrieve(&key(text), options).await?;
    let bytes = found.body.collect(u64::MAX).await?;
    Ok(String::from_utf8(bytes.to_vec()).expect("text"))
}

fn kind<T>(result: Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("it must fail"),
        Err(error) => error.kind(),
    }
}

fn chunks(chunks: Vec<Result<Bytes>>, length_bytes: Option<u64>) -> ByteStream {
    ByteStream::from_stream(stream::iter(chunks), length_bytes)
}
