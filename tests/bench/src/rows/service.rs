//! What the service adds to a save: quota, digest, catalog, audit and outbox, beside the backend's put alone.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::Result;
use bytes::Bytes;
use storage_core::{Backend, ObjectKey, SaveOptions};
use storage_host::catalog::UserId;
use storage_host::service::{Metadata, SimpleStorageService};

use crate::contest::{Contest, rate};
use crate::environment::Environment;
use crate::plugins::open_local;
use crate::row::{Row, Unit};
use crate::service;

pub(crate) const ROWS: &[&str] = &["service-save-16", "service-save-64"];

const SIZE_BYTES: usize = 4 * 1024;
const OURS: &str = "service.save";
const BACKEND: &str = "local plugin";

pub(crate) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let folder = environment.scratch()?;
    let folder = folder.path();
    let service = service::open(environment, &folder.join("service"), &folder.join("catalog.db")).await?;
    let backend = open_local(environment, &folder.join("backend")).await?;
    let content = Bytes::from(vec![7; SIZE_BYTES]);
    let (numbers, time) = (&Arc::new(AtomicU64::new(0)), environment.round_time);
    let mut rows = Vec::new();
    for (name, callers, floor) in [("service-save-16", 16, 0.5), ("service-save-64", 64, 0.7)] {
        if !environment.wants(name) {
            continue;
        }
        let work = format!("save of 4 KiB, {callers} at once");
        let contest = Contest::new(name, work, Unit::CallsPerSecond)
            .contender(OURS, || {
                let (service, content) = (service.clone(), content.clone());
                rate(callers, time, numbers, move |number| save(service.clone(), content.clone(), number))
            })
            .contender(BACKEND, || {
                let (backend, content) = (Arc::clone(&backend), content.clone());
                rate(callers, time, numbers, move |number| put(Arc::clone(&backend), content.clone(), number))
            })
            .at_least(floor, BACKEND);
        rows.push(contest.run(environment.rounds).await?);
    }
    service.close().await?;
    backend.close().await?;
    Ok(rows)
}

async fn save(service: SimpleStorageService, content: Bytes, number: u64) -> Result<()> {
    let user = UserId::new(format!("user-{}", number % 100))?;
    service.save(content, &format!("{number:08}.bin"), &user, Metadata::new()).await?;
    Ok(())
}

/// Under the keys that the service makes, in directories of their own.
async fn put(backend: Arc<dyn Backend>, content: Bytes, number: u64) -> Result<()> {
    let key = ObjectKey::new(format!("users/user-{}/{number:032x}/1/{number:08}.bin", number % 100))?;
    backend.save(&key, content.into(), SaveOptions::default()).await?;
    Ok(())
}
