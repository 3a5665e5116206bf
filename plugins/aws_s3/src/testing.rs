//! A bucket of Amazon's without Amazon: what it says to each request is written down by the test.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use storage_core::{ConfigValues, ObjectKey, OpenRequest};
use tokio::runtime::Handle;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::store::{Background, Store};

/// What becomes of a request.
pub(crate) enum Said {
    /// This status, with these headers and this body.
    Answer(u16, Vec<(&'static str, String)>, &'static str),
    /// The same, but after a while.
    Late(Duration, &'static str),
    /// The connection breaks.
    Nothing,
}

/// An answer of this status and body.
pub(crate) fn answer(status: u16, body: &'static str) -> Said {
    Said::Answer(status, Vec::new(), body)
}

/// A request that was made.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) if_match: Option<String>,
}

/// In the place of the network.
#[derive(Clone)]
pub(crate) struct Script {
    says: Arc<dyn Fn(&Seen) -> Said + Send + Sync>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

impl Script {
    fn seen(&self) -> std::sync::MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The requests with this method whose URL has this in it.
    pub(crate) fn requests(&self, method: &str, part: &str) -> Vec<Seen> {
        let is_it = |seen: &&Seen| seen.method == method && seen.url.contains(part);
        self.seen().iter().filter(is_it).cloned().collect()
    }
}

impl HttpConnector for Script {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let seen = Seen {
            method: request.method().to_owned(),
            url: request.uri().to_owned(),
            if_match: request.headers().get("if-match").map(str::to_owned),
        };
        let said = (self.says)(&seen);
        self.seen().push(seen);
        HttpConnectorFuture::new(async move {
            let (status, headers, body) = match said {
                Said::Answer(status, headers, body) => (status, headers, body),
                Said::Late(pause, body) => {
                    tokio::time::sleep(pause).await;
                    (200, Vec::new(), body)
                }
                Said::Nothing => return Err(ConnectorError::io("the connection was reset".into())),
            };
            let mut response = HttpResponse::new(status.try_into().expect("a status"), SdkBody::from(body));
            for (name, value) in headers {
                response.headers_mut().insert(name, value);
            }
            Ok(response)
        })
    }
}

/// A key.
pub(crate) fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).expect("a legal key")
}

/// The configuration of a bucket with these settings besides.
pub(crate) fn config(settings: &[(&str, &str)]) -> Config {
    let mut config = ConfigValues::new();
    let fixed = [
        ("bucket_name", "b"),
        ("region", "eu-central-1"),
        ("access_key_id", "AKIDEXAMPLE"),
        ("secret_access_key", "secret"),
        ("proxy", "none"),
    ];
    for (name, value) in fixed.iter().chain(settings) {
        config.set(*name, *value, "test");
    }
    Config::read(&OpenRequest { config, ..OpenRequest::default() }).expect("sound")
}

/// A bucket that answers by a script.
pub(crate) async fn scripted(
    settings: &[(&str, &str)],
    says: impl Fn(&Seen) -> Said + Send + Sync + 'static,
) -> (Store, Script) {
    let script = Script { says: Arc::new(says), seen: Arc::default() };
    let mut store = store(settings).await;
    let connector = SharedHttpConnector::new(script.clone());
    let s3 = store.s3.config().to_builder().http_client(http_client_fn(move |_, _| connector.clone()));
    store.s3 = Client::from_conf(s3.build());
    (store, script)
}

/// A bucket that is asked over the network.
pub(crate) async fn store(settings: &[(&str, &str)]) -> Store {
    let config = config(settings);
    let connection = crate::client::connect(&config).await.expect("a client");
    Store {
        name: "test".to_owned(),
        capabilities: config.kind().capabilities(),
        config,
        s3: connection.s3,
        sdk: connection.sdk,
        metrics: Metrics::default(),
        plain: connection.plain,
        walks: crate::directory::Walks::default(),
        url_credentials: crate::presign::Kept::default(),
        background: Background::new(Handle::current()),
    }
}
