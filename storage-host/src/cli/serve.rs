//! `storage serve`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use storage_core::Result;
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::context::Context;
use super::exit::AtStart;
use super::signals;
use crate::http::{Options, Server};
use crate::manager::Reloaded;
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
        let reload = signals::of_reload()?;
        let served = context.with_service(async |service| serve(service, context, stop, reload).await).await;
        // Once it has started, it ends well.
        served.map_err(|error| error.context(AtStart))
    }
}

async fn serve(
    service: &SimpleStorageService,
    context: &Context,
    stop: CancellationToken,
    reload: Signal,
) -> anyhow::Result<ExitCode> {
    let config = &context.loaded.config;
    let options = Options { http: config.http.clone(), auth: config.auth.clone(), debug: config.log.debug };
    let watch = watch_plugins(context, service);
    let reloading = AbortOnDropHandle::new(tokio::spawn(reload_on(reload, service.clone())));
    let server = Server::bind(options, service.clone()).await?;
    let address = server.local_addr();
    warn_of_unknown_backends(service).await?;
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
    drop((watch, reloading));
    Ok(ExitCode::SUCCESS)
}

/// Says which files cannot be read since the configuration does not name their backend: one has another name there, or
/// was taken out too early.
async fn warn_of_unknown_backends(service: &SimpleStorageService) -> Result<()> {
    for (backend, versions) in service.unknown_backends().await? {
        tracing::warn!(
            backend,
            versions,
            "versions lie on a backend that the configuration does not name; they cannot be read until it does"
        );
    }
    Ok(())
}

/// Reads the configuration again whenever the signal comes. One that is at fault is told, and changes nothing.
async fn reload_on(mut signal: Signal, service: SimpleStorageService) {
    while signal.recv().await.is_some() {
        tracing::info!(signal = "SIGHUP", "told to read the configuration again");
        match service.manager().reload().await {
            Ok(done) => {
                let Reloaded { primary, opened, waiting, not_configured, after_restart } = done;
                tracing::info!(
                    primary,
                    ?opened,
                    ?waiting,
                    ?not_configured,
                    ?after_restart,
                    "the configuration was read again"
                );
            }
            Err(error) => {
                tracing::error!(error = %error.report(), "the new configuration cannot be used: everything goes on as before")
            }
        }
    }
}

/// Says in the log what happens in the plugin directories. A service that cannot watch them serves all the same.
fn watch_plugins(context: &Context, service: &SimpleStorageService) -> Option<AbortOnDropHandle<()>> {
    let service = service.clone();
    let in_use = move || {
        let backends = service.manager().list_backends();
        backends.into_values().map(|backend| backend.info.backend_type.clone()).collect()
    };
    match Watch::begin(&context.loaded.config.plugin_dirs, in_use) {
        Ok(watch) => Some(AbortOnDropHandle::new(tokio::spawn(watch.run()))),
        Err(error) => {
            tracing::warn!(%error, "the plugin directories cannot be watched; what is put there shows in `storage plugins list`");
            None
        }
    }
}
