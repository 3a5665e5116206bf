//! The events of a plugin reach the host's log, with the id of the work they belong to.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{LazyLock, Mutex};

use serde_json::json;
use storage_core::correlation;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::{key, open};

#[derive(Clone, Debug)]
struct Seen {
    level: Level,
    fields: BTreeMap<String, String>,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name().to_owned(), value.to_owned());
    }
}

static SEEN: Mutex<Vec<Seen>> = Mutex::new(Vec::new());

struct Collect;

impl<S: Subscriber> Layer<S> for Collect {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if event.metadata().target() == "storage_plugin" {
            let mut seen = Seen { level: *event.metadata().level(), fields: BTreeMap::new() };
            event.record(&mut seen);
            SEEN.lock().expect("no test panicked inside").push(seen);
        }
    }
}

/// The log of this process: collected up to `DEBUG`.
static LOG: LazyLock<()> = LazyLock::new(|| {
    let subscriber = tracing_subscriber::registry().with(Collect.with_filter(LevelFilter::DEBUG));
    tracing::subscriber::set_global_default(subscriber).expect("nobody else sets a subscriber");
});

fn seen_with(id: &str) -> Vec<Seen> {
    let seen = SEEN.lock().expect("no test panicked inside");
    seen.iter()
        .filter(|seen| seen.fields.get("correlation_id").is_some_and(|value| value == id))
        .cloned()
        .collect()
}

#[tokio::test]
async fn events_arrive_with_level_target_fields_and_correlation_id() {
    LazyLock::force(&LOG);
    let backend = open("work").await;
    correlation::scope("request-1", backend.invoke("log", json!({}))).await.expect("it logs");
    let seen = seen_with("request-1");
    let told: Vec<_> = seen
        .iter()
        .map(|seen| {
            (seen.level, seen.fields["message"].as_str(), seen.fields.get("fields").map(String::as_str))
        })
        .collect();
    assert_eq!(
        told,
        [
            (Level::ERROR, "an error", Some("code=7")),
            (Level::WARN, "a warning for people", Some("text=two words flag=true")),
            (Level::INFO, "an information", None),
            (Level::DEBUG, "a detail", Some("list=[1, 2]")),
        ],
        "what lies below the level of the log is not sent"
    );
    for seen in seen {
        assert_eq!(seen.fields["plugin"], "probe");
        assert_eq!(seen.fields["plugin_target"], "storage_fixture_probe::work");
    }
}

#[tokio::test]
async fn a_panic_is_logged_with_its_place() {
    LazyLock::force(&LOG);
    let backend = open("panic").await;
    correlation::scope("request-2", backend.exists(&key("k"))).await.expect_err("it panics");
    let seen = seen_with("request-2");
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].fields["message"], "the plugin panicked: the probe panics in exists");
    assert!(seen[0].fields["fields"].contains("backend.rs:"));
}

#[tokio::test]
async fn the_correlation_id_is_there_at_every_poll_and_gone_afterwards() {
    let backend = open("work").await;
    let inside = correlation::scope("request-3", backend.invoke("correlation", json!({})));
    let outside = backend.invoke("correlation", json!({}));
    let (inside, outside) = futures_util::future::join(inside, outside).await;
    assert_eq!(inside.expect("it answers"), json!(["request-3", "request-3"]));
    assert_eq!(outside.expect("it answers"), json!([null, null]));
}
