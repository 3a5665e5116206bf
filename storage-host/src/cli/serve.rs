//! `storage serve`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::context::Context;
use super::signals;
use crate::http::{Options, Server};
use crate::plugin::Watch;
use crate::service::SimpleStorageService;

/// How often the host looks for what deleted files and unfinished saves left behind.
const JANITOR_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Runs the HTTP service until SIGTERM or Ctrl-C; requests under way are finished first, unless a second one comes.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The address to listen on, in place of the configured one: 127.0.0.1:8080
    #[arg(long, value_name = "ADDRESS")]
    pub(super) bind: Option<String>,
}

impl Serve {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        // Before anything else, so that a signal during the start is not lost.
        let stop = signals::on_first()?;
        context.with_service(async |service| serve(service, context, stop).await).await
    }
}

async fn serve(
    service: &SimpleStorageService,
    context: &Context,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let config = &context.loaded.config;
    let options = Options { http: config.http.clone(), auth: config.auth.clone(), debug: config.log.debug };
    let watch = watch_plugins(context);
    let server = Server::bind(options, service.clone()).await?;
    let address = server.local_addr();
    context.output.remark(&format!(
        "open http://{address}/docs to read and try the interface; Ctrl-C stops the service"
    ));
    if service.catalog().service_keys().await?.iter().all(|key| key.revoked_at.is_some()) {
        context.output.remark("there is no service key yet; make one with: storage keys create NAME");
    }
    let janitor = {
        let service = service.clone();
        tokio::spawn(async move { service.run_janitor(JANITOR_INTERVAL).await })
    };
    server.run(stop.cancelled_owned()).await;
    janitor.abort();
    drop(watch);
    Ok(ExitCode::SUCCESS)
}

/// Says in the log what happens in the plugin directories. A service that cannot watch them serves all the same.
fn watch_plugins(context: &Context) -> Option<AbortOnDropHandle<()>> {
    let config = &context.loaded.config;
    let in_use = config.backends.values().map(|backend| backend.backend_type.clone()).collect();
    match Watch::begin(&config.plugin_dirs, in_use) {
        Ok(watch) => Some(AbortOnDropHandle::new(tokio::spawn(watch.run()))),
        Err(error) => {
            tracing::warn!(%error, "the plugin directories cannot be watched; what is put there shows in `storage plugins list`");
            None
        }
    }
}
