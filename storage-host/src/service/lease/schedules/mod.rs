//! Claims to a user's quota over many schedules: saves that succeed, fail, lapse or are given up, and deletions.
//!
//! The claims, the catalog that keeps them and its writer are compiled with primitives of which a scheduler decides
//! each step; see [`crate::catalog::schedules`], which also says how a schedule is run again.

mod sync;

#[path = "../claims.rs"]
#[allow(clippy::duplicate_mod, dead_code, reason = "the same text with other primitives")]
mod claims;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::{Connection, params};
use storage_core::memory::MemoryBackend;
use storage_core::{Error, ErrorKind, ListOptions, ObjectKey, Result, SaveOptions};

use self::claims::{Lease, Room};
use crate::catalog::schedules::sync::{any_of, once_in, settled, spawn, step};
use crate::catalog::schedules::{SqliteCatalog, explore, folder, or_go_away, remove_database};
use crate::catalog::{
    AuditEntry, Base, Catalog, CatalogOptions, FileId, FileQuery, FileVersionId, Garbage, NewVersion,
    Placement, Quota, UserId,
};
use crate::manager::NamedBackend;
use crate::service::remove_object;
use crate::service::types::FileInfo;

const MAX_BYTES: u64 = 10;
const MAX_FILES: u64 = 4;
const SAVERS: usize = 4;
const SAVES_OF_EACH: usize = 2;

/// What a save says beforehand of how long it is.
#[derive(Clone, Copy, Debug)]
enum Declared {
    /// Nothing is reserved: all is there, and the commit decides.
    Whole,
    /// All of it.
    Length,
    /// The beginning; the rest is claimed as it comes.
    Beginning,
}

struct World {
    catalog: Arc<dyn Catalog>,
    backend: Arc<NamedBackend>,
    user: UserId,
    /// Sees what is committed.
    committed: parking_lot::Mutex<Connection>,
}

impl World {
    fn new(path: &Path) -> Self {
        let default_quota = Quota { max_bytes: Some(MAX_BYTES), max_files: Some(MAX_FILES) };
        let options = CatalogOptions { default_quota, readers: 2, ..CatalogOptions::default() };
        let catalog = SqliteCatalog::open(path, options).expect("a catalog");
        Self {
            catalog: Arc::new(catalog),
            backend: NamedBackend::new("main", Arc::new(MemoryBackend::new("main"))),
            user: UserId::new("ada").expect("a user"),
            committed: parking_lot::Mutex::new(Connection::open(path).expect("another connection")),
        }
    }

    /// What is used and what is promised, in bytes and in files.
    fn counted(&self) -> [(u64, u64); 2] {
        const COUNTED: &str =
            "SELECT bytes, reserved_bytes, files, reserved_files FROM users WHERE user_id = ?1";
        let committed = self.committed.lock();
        let row = committed.query_row(COUNTED, params![self.user], |row| {
            Ok([(row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?)])
        });
        match row {
            Err(rusqlite::Error::QueryReturnedNoRows) => [(0, 0); 2],
            row => row.expect("the counters are never less than nothing"),
        }
    }

    fn assert_within_quota(&self) {
        let [bytes, files] = self.counted();
        assert!(bytes.0 + bytes.1 <= MAX_BYTES, "bytes used and reserved: {bytes:?}");
        assert!(files.0 + files.1 <= MAX_FILES, "files used and reserved: {files:?}");
    }

    fn audit(&self, action: &str, file: FileId) -> AuditEntry {
        AuditEntry {
            at: SystemTime::now(),
            actor: "key:tests".to_owned(),
            user: self.user.clone(),
            action: action.to_owned(),
            file: Some(file),
            version: None,
            outcome: "ok".to_owned(),
            correlation_id: None,
            remote: None,
        }
    }

    /// Saves as the service does: claims, bytes, commit.
    async fn save(&self, size_bytes: u64, declared: Declared, succeeds: bool) -> Result<FileInfo> {
        let (file, version) = (FileId::new(), FileVersionId::new());
        let key = ObjectKey::new(format!("users/{}/{file}/{version}", self.user))?;
        let object = Garbage { backend: self.backend.name.clone(), key: key.clone() };
        let room = match declared {
            Declared::Whole => None,
            Declared::Length => Some(Room { bytes: size_bytes, files: 1 }),
            Declared::Beginning => Some(Room { bytes: size_bytes / 3, files: 1 }),
        };
        let lease = Lease::take(self.catalog.clone(), self.backend.clone(), object, &self.user, room).await?;
        let work = async {
            lease.cover(size_bytes * 2 / 3).await?;
            lease.cover(size_bytes).await?;
            step();
            let body = vec![7; usize::try_from(size_bytes).expect("small")];
            let saved = self.backend.backend.save(&key, body.into(), SaveOptions::default()).await?;
            step();
            if succeeds {
                Ok(saved)
            } else {
                Err(Error::new(ErrorKind::Unavailable, "broken off on purpose"))
            }
        };
        lease.hold(work).await?;
        let new_version = NewVersion {
            file,
            user: self.user.clone(),
            version,
            base: Base::NewFile,
            filename: "cv.pdf".to_owned(),
            content_type: "application/pdf".to_owned(),
            size_bytes,
            digests: [7; 32].into(),
            metadata: BTreeMap::new(),
            tags: BTreeMap::new(),
            placement: Placement { backend: self.backend.name.clone(), key, tier: None },
            reservation: lease.reservation(),
            created_at: SystemTime::now(),
        };
        lease.commit(new_version, self.audit("save", file)).await
    }

    /// Deletes as the service does: the record first, then the object.
    async fn delete(&self, file: FileId) {
        let audit = self.audit("delete", file);
        let garbage = self.catalog.delete_file(&self.user, file, None, audit).await.expect("deleted");
        for object in garbage.expect("there was a file") {
            remove_object(&self.backend, &object.key).await.expect("removed");
        }
    }

    /// One who saves, now and then gives up, and deletes again.
    async fn be_a_saver(self: Arc<Self>) {
        for _ in 0..SAVES_OF_EACH {
            let size_bytes = any_of(&[1, 3, 4, 6, 11]);
            let declared = any_of(&[Declared::Whole, Declared::Length, Declared::Beginning]);
            let save = self.save(size_bytes, declared, !once_in(4));
            let saved = if once_in(4) {
                or_go_away(save, any_of(&[1, 3, 6, 10, 20])).await
            } else {
                Some(save.await)
            };
            self.assert_within_quota();
            match saved {
                Some(Ok(info)) if once_in(3) => self.delete(info.id).await,
                Some(Ok(_)) | None => {}
                Some(Err(error)) => assert!(is_expected(&error), "{}", error.report()),
            }
            self.assert_within_quota();
        }
    }

    /// Whether what is there at the end is what was committed, with nothing kept from anybody.
    async fn check_end(&self) {
        let [bytes, files] = self.counted();
        assert_eq!((bytes.1, files.1), (0, 0), "reserved at the end, when nobody saves");
        let wrong = self.catalog.check_usage(false).await.expect("usage");
        assert_eq!(wrong, Vec::new(), "counters that do not agree with the files");
        let query = FileQuery { limit: 100, ..FileQuery::default() };
        let page = self.catalog.list(&self.user, query).await.expect("the files");
        let recorded: BTreeSet<_> =
            page.files.iter().map(|file| file.current.placements[0].key.clone()).collect();
        let objects = self.backend.backend.list_files(ListOptions::default()).await.expect("the objects");
        let stored: BTreeSet<_> = objects.objects.into_iter().map(|object| object.key).collect();
        assert_eq!(stored, recorded, "objects, and the records of files");
        // What is free can be had, to the last byte, and not one more.
        if files.0 < MAX_FILES {
            self.save_in_time(MAX_BYTES - bytes.0).await.expect("there is room");
            if files.0 + 1 < MAX_FILES {
                let error = self.save_in_time(1).await.expect_err("there is none");
                assert_eq!(error.kind(), ErrorKind::QuotaExceeded, "{}", error.report());
            }
        }
        settled().await;
        self.assert_within_quota();
    }

    /// Saves, again where the clock would have it that the claims had lapsed.
    async fn save_in_time(&self, size_bytes: u64) -> Result<FileInfo> {
        loop {
            match self.save(size_bytes, Declared::Beginning, true).await {
                Err(error) if error.kind() == ErrorKind::Timeout => settled().await,
                saved => return saved,
            }
        }
    }
}

fn is_expected(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::QuotaExceeded | ErrorKind::Timeout => true,
        ErrorKind::Unavailable => error.message() == "broken off on purpose",
        _ => false,
    }
}

#[test]
fn what_is_used_and_reserved_never_exceeds_the_quota_and_nothing_stays_reserved() {
    let folder = folder();
    explore(100, move || {
        let path = folder.path().join("catalog.db");
        async move {
            remove_database(&path);
            remove_database(&path.with_extension("db-unfinished"));
            let world = Arc::new(World::new(&path));
            let savers: Vec<_> = (0..SAVERS).map(|_| spawn(World::be_a_saver(world.clone()))).collect();
            for saver in savers {
                saver.await.expect("a saver ends");
            }
            settled().await;
            world.check_end().await;
            world.catalog.close().await.expect("closed");
        }
    });
}
