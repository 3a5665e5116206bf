//! The data path, and the faults on it, on SeaweedFS.

mod faults;
mod large;
mod requests;

use std::sync::Arc;

use storage_core::Backend;
use storage_tests::proxy::Proxy;
use storage_tests::servers::Server;

use crate::rig::{Settings, open, settings};

/// A proxy before the server, and the settings of a bucket behind it.
async fn proxied(more: &[(&'static str, &str)]) -> (Proxy, Settings) {
    let server = Server::get("seaweedfs");
    let proxy = Proxy::before(&server.endpoint).await;
    let settings = settings(&server, &proxy.endpoint(), more);
    (proxy, settings)
}

/// A proxy before the server, and an opened backend behind it.
async fn opened(more: &[(&'static str, &str)]) -> (Proxy, Arc<dyn Backend>) {
    let (proxy, settings) = proxied(more).await;
    let backend = open(settings).await;
    proxy.forget();
    (proxy, backend)
}
