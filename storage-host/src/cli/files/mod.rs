//! The commands about files, one a file, and what they have in common.

mod cp;
mod get;
mod ls;
mod put;
mod rm;
mod url;
mod versions;

use std::collections::BTreeMap;

use serde::Serialize;

use super::table::moment;
use crate::service::FileInfo;

pub(super) use cp::Cp;
pub(super) use get::Get;
pub(super) use ls::Ls;
pub(super) use put::Put;
pub(super) use rm::Rm;
pub(super) use url::Url;
pub(super) use versions::Versions;

/// A file, or one version of it, as `--json` has it.
#[derive(Debug, Serialize)]
struct FileLine {
    id: String,
    version: String,
    version_number: u64,
    is_current: bool,
    filename: String,
    content_type: String,
    size_bytes: u64,
    sha256: String,
    metadata: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    created_at: String,
    updated_at: String,
    backend: String,
    tier: Option<String>,
}

impl FileLine {
    fn of(info: &FileInfo) -> Self {
        Self {
            id: info.id.to_string(),
            version: info.version.to_string(),
            version_number: info.version_number,
            is_current: info.is_current,
            filename: info.filename.clone(),
            content_type: info.content_type.clone(),
            size_bytes: info.size_bytes,
            sha256: hex::encode(info.sha256),
            metadata: info.metadata.clone(),
            tags: info.tags.clone(),
            created_at: moment(info.created_at),
            updated_at: moment(info.updated_at),
            backend: info.backend.clone(),
            tier: info.tier.map(|tier| tier.to_string()),
        }
    }
}
