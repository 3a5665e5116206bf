//! The plugin boundary, proven on libraries that are loaded.
//!
//! Most tests load `probe`, a plugin that misbehaves on demand.

mod cancellation;
mod concurrency;
mod load;
mod log;
mod operations;
mod panics;
mod payload;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use storage_core::abi::{self, PluginModule};
use storage_core::{Backend, ConfigValues, ObjectKey, OpenRequest};
use storage_tests::plugins::plugin_path;

/// The probe, loaded.
fn probe() -> PluginModule {
    abi::load(&plugin_path("probe")).expect("the probe loads")
}

/// What opens a probe in this mode.
fn request(name: &str, mode: &str) -> OpenRequest {
    let mut config = ConfigValues::new();
    config.set("mode", mode, "test");
    OpenRequest { name: name.to_owned(), config, extra: BTreeMap::new() }
}

/// An opened probe in this mode.
async fn open(mode: &str) -> Arc<dyn Backend> {
    probe().open(request("hot", mode)).await.expect("the probe opens")
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).expect("a legal key")
}

/// One of the probe's counters.
async fn counter(backend: &Arc<dyn Backend>, name: &str) -> u64 {
    let counters = backend.invoke("counters", json!({})).await.expect("the probe counts");
    counters.get(name).and_then(Value::as_u64).expect("there is such a counter")
}

/// Waits until a counter has a value.
async fn counts_to(backend: &Arc<dyn Backend>, name: &str, value: u64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while counter(backend, name).await != value {
        assert!(Instant::now() < deadline, "{name} did not become {value}");
        tokio::task::yield_now().await;
    }
}
