//! Opens a container: makes it where that is configured, and asks who answers.

use azure_core::Method;
use storage_core::{BackendInfo, Capabilities, Error, ErrorKind, Limits, Result};

use crate::blocks::MAX_CONTENT_BYTES;
use crate::client::{Call, Target};
use crate::config::Config;
use crate::credential::Identity;
use crate::multipart::{MAX_PART_BYTES, MAX_PARTS};
use crate::options::MAX_PAGE;
use crate::sas::MAX_VALIDITY;
use crate::store::Store;
use crate::{error, extension};

/// Opens the container and says what it can do.
///
/// # Errors
///
/// `ConfigInvalid` for a container that does not exist and may not be made; what the service says.
pub(crate) async fn open(config: Config) -> Result<(Store, BackendInfo)> {
    let store = Store::new(config)?;
    let server = match find(&store).await {
        Ok(server) => server,
        Err(error) if is_missing(&error) && store.config.create_container => {
            create(&store).await?;
            find(&store).await?
        }
        Err(error) => return Err(store.client.explain(error)),
    };
    let info = describe(&store, server);
    Ok((store, info))
}

fn is_missing(error: &Error) -> bool {
    error.kind() == ErrorKind::ConfigInvalid && error.message().contains("AZURE_CREATE_CONTAINER")
}

/// Asks for an entry of the container: unlike its properties, a signature for the container may see that.
async fn find(store: &Store) -> Result<Option<String>> {
    let call = Call::new(Method::Get, Target::Container)
        .query("restype", "container")
        .query("comp", "list")
        .query("maxresults", "1");
    match store.client.read(&call).await {
        Ok(reply) => Ok(reply.header("server").map(str::to_owned)),
        // Those who may write but not list can still save.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            tracing::warn!(error = %error, "the container's blobs may not be listed");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn create(store: &Store) -> Result<()> {
    let container = store.client.service().container_client(store.client.container());
    match container.create().await.map_err(error::from_sdk) {
        Ok(()) => {
            tracing::info!(container = store.client.container(), "the container was created");
            Ok(())
        }
        // Another process was faster.
        Err(error) if error.context().any(|fact| fact.1 == "ContainerAlreadyExists") => Ok(()),
        Err(error) => Err(error.with_context("container", store.client.container())),
    }
}

fn describe(store: &Store, server: Option<String>) -> BackendInfo {
    let mut capabilities = Capabilities::WRITE_IF_ABSENT
        | Capabilities::WRITE_IF_MATCH
        | Capabilities::DELETE_IF_MATCH
        | Capabilities::COPY
        | Capabilities::MULTIPART
        | Capabilities::TIERS
        | Capabilities::RESTORE
        | Capabilities::LIFECYCLE
        | Capabilities::TAGS
        | Capabilities::LIST_METADATA
        | Capabilities::VERIFY_SHA256
        | Capabilities::VERIFY_MD5
        | Capabilities::VERIFY_CRC32C
        | Capabilities::VERIFY_CRC64NVME;
    if store.config.versioning {
        capabilities |= Capabilities::VERSIONS;
    }
    if !matches!(store.config.identity, Identity::Sas(_)) {
        capabilities |= Capabilities::PRESIGN_GET | Capabilities::PRESIGN_PUT;
    }
    BackendInfo {
        backend_type: "azure_blob".to_owned(),
        location: store.config.location(),
        server,
        capabilities,
        limits: Limits {
            max_object_bytes: Some(MAX_CONTENT_BYTES),
            max_part_bytes: Some(MAX_PART_BYTES),
            max_parts: Some(MAX_PARTS),
            max_list_page: Some(MAX_PAGE),
            max_presign_expiry: Some(MAX_VALIDITY),
            ..Limits::default()
        },
        extensions: extension::all(),
        ..BackendInfo::default()
    }
}
