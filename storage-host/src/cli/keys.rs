//! `storage keys create | list | revoke | rotate-links`.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Subcommand;
use secrecy::ExposeSecret as _;
use serde_json::json;
use storage_core::{Error, ErrorKind};

use super::arguments::{duration, key_name};
use super::context::Context;
use super::table::{moment, table};
use crate::catalog::{Catalog, KeyScope, ServiceKeyRecord};
use crate::http::auth::service_key;

/// Manages the keys that applications call the service with, and those that sign links.
#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Makes a service key and prints it: this once, since only its digest is kept
    Create {
        /// What it is called: the application that will use it
        #[arg(value_parser = key_name)]
        name: String,
        /// It is for administration (`storage backends open`, `storage reload`), and for nobody's files
        #[arg(long)]
        admin: bool,
    },
    /// Lists service keys
    List,
    /// Revokes a service key; a running host learns of it within seconds
    Revoke {
        /// Its id or its name
        key: String,
    },
    /// Makes a new key to sign download links with
    RotateLinks {
        /// How long links that the former keys signed go on to work
        #[arg(long, value_parser = duration, default_value = "7days")]
        grace: Duration,
    },
}

impl Keys {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        context.with_service(async |service| self.work(service.catalog().as_ref(), context).await).await
    }

    async fn work(self, catalog: &dyn Catalog, context: &Context) -> anyhow::Result<ExitCode> {
        let output = context.output;
        match self {
            Keys::Create { name, admin } => {
                let scope = if admin { KeyScope::Admin } else { KeyScope::Files };
                let (token, record) = service_key::generate(name, scope);
                let value = json!({
                    "id": record.id,
                    "name": record.name,
                    "scope": scope.name(),
                    "key": token.expose_secret(),
                });
                let name = record.name.clone();
                catalog.add_service_key(record).await.map_err(|error| match error.kind() {
                    ErrorKind::AlreadyExists => error.with_context(
                        "next_step",
                        format!("choose another name, or revoke the key first: storage keys revoke {name}"),
                    ),
                    _ => error,
                })?;
                output.remark("keep this key: it is shown only now");
                output.answer(&value, || token.expose_secret().to_owned())
            }
            Keys::List => {
                let keys = catalog.service_keys().await?;
                let values: Vec<_> = keys.iter().map(value).collect();
                output.list(&values, "there is no key yet; make one with: storage keys create NAME", || {
                    text(&keys)
                })
            }
            Keys::Revoke { key } => {
                if !catalog.revoke_service_key(&key, SystemTime::now()).await? {
                    let error = Error::new(ErrorKind::NotFound, "no valid key has this id or name");
                    return Err(error
                        .with_context("service_key", key)
                        .with_context("next_step", "storage keys list shows the keys that there are")
                        .into());
                }
                output.remark(&format!("{key} is revoked; a running service learns of it within seconds"));
                if output.json {
                    output.answer(&json!({ "revoked": key }), String::new)
                } else {
                    Ok(ExitCode::SUCCESS)
                }
            }
            Keys::RotateLinks { grace } => {
                let retire_old_at = SystemTime::now() + grace;
                let key = catalog.rotate_link_keys(retire_old_at).await?;
                let until = moment(retire_old_at);
                output.answer(&json!({ "id": key.id, "former_keys_work_until": until }), || {
                    format!(
                        "links are now signed with key {}; those signed before work until {until} at most",
                        key.id
                    )
                })
            }
        }
    }
}

fn value(key: &ServiceKeyRecord) -> serde_json::Value {
    json!({
        "id": key.id,
        "name": key.name,
        "scope": key.scope.name(),
        "created_at": moment(key.created_at),
        "revoked_at": key.revoked_at.map(moment),
    })
}

fn text(keys: &[ServiceKeyRecord]) -> String {
    let row = |key: &ServiceKeyRecord| {
        let state = key.revoked_at.map_or_else(|| "valid".to_owned(), |at| format!("revoked {}", moment(at)));
        [key.id.clone(), key.name.clone(), key.scope.name().to_owned(), moment(key.created_at), state]
    };
    table(["ID", "NAME", "FOR", "CREATED", "STATE"], keys.iter().map(row))
}
