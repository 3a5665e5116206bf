//! [`Store`]: what every operation of an opened backend works with.

use std::sync::Arc;

use storage_core::Result;
use tokio::sync::Mutex;

use crate::client::Client;
use crate::config::Config;
use crate::sas::Delegation;

/// One opened container.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) config: Config,
    pub(crate) client: Client,
    /// The key by which signatures are made where there is none of the account, once it was asked for.
    pub(crate) delegation: Mutex<Option<Delegation>>,
}

impl Store {
    /// A store of this configuration. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// As [`Client::new`].
    pub(crate) fn new(config: Config) -> Result<Self> {
        let client = Client::new(&config)?;
        Ok(Self { config, client, delegation: Mutex::default() })
    }
}

/// The store, shared with what outlives a call.
pub(crate) type Shared = Arc<Store>;
