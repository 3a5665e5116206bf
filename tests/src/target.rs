//! The backends that the conformance suite is run against.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use storage_conformance::Target;
use storage_core::memory::MemoryBackend;
use storage_core::{Backend, Capabilities, ConfigValues, Error, ErrorKind, Limits, OpenRequest, Result};

use crate::aws_s3_waivers;
use crate::directory_bucket::DirectoryBuckets;
use crate::minio_waivers;
use crate::plugins::plugin_path;
use crate::servers::Server;
use crate::waiver::Waiver;

/// The reference backend, called directly.
pub fn memory() -> Target {
    native("memory", || MemoryBackend::new("memory"))
}

/// The reference backend without any optional family: the suite must see that it refuses them all.
pub fn memory_bare() -> Target {
    native("memory_bare", || MemoryBackend::new("bare").with_capabilities(Capabilities::none()))
}

/// The reference backend with tight limits, of which the suite must see that they hold.
pub fn memory_limited() -> Target {
    native("memory_limited", || {
        let backend = MemoryBackend::new("limited");
        let limits = Limits {
            max_object_bytes: Some(80 << 20),
            max_single_save_bytes: Some(72 << 20),
            min_part_bytes: Some(100 << 10),
            max_part_bytes: Some(9 << 20),
            max_parts: Some(20),
            max_list_page: Some(100),
            ..backend.info().limits.clone()
        };
        backend.with_limits(limits)
    })
}

/// The reference backend through the plugin boundary, which must change nothing.
pub fn memory_plugin() -> Target {
    plugin("memory_plugin", "memory", false, |_folder| Vec::new())
}

/// The local disk.
pub fn local() -> Target {
    plugin("local", "local", true, |folder| {
        vec![
            ("path", folder.join("storage").display().to_string()),
            ("versioning", "true".to_owned()),
            // What durability costs is no part of how a backend behaves, and thousands of files are saved here.
            ("fsync", "false".to_owned()),
        ]
    })
}

/// Google Cloud Storage, for which fake-gcs-server stands in, with versions.
pub fn gcs_fake_gcs() -> Target {
    served("gcs_fake_gcs", "gcs", "fake_gcs", |server, bucket| {
        vec![
            ("endpoint_url", server.endpoint.clone()),
            ("bucket_name", bucket.to_owned()),
            ("project_id", "storage-tests".to_owned()),
            ("create_bucket", "true".to_owned()),
            ("versioning", "true".to_owned()),
            ("credentials_file", crate::gcs::service_account_file().display().to_string()),
        ]
    })
}

/// The MinIO plugin on SeaweedFS, with versions and object lock.
pub fn minio_seaweedfs() -> Target {
    served("minio_seaweedfs", "minio", "seaweedfs", |server, bucket| {
        let mut settings = minio_settings(server, bucket);
        settings.push(("object_lock", "true".to_owned()));
        settings
    })
}

/// The MinIO plugin on JuiceFS's gateway, which is MinIO's code of 2021: without versions, conditions and digests.
pub fn minio_juicefs() -> Target {
    served("minio_juicefs", "minio", "juicefs", minio_settings)
}

fn minio_settings(server: &Server, bucket: &str) -> Vec<(&'static str, String)> {
    vec![
        ("endpoint_url", server.endpoint.clone()),
        ("access_key", server.setting("access_key").to_owned()),
        ("secret_key", server.setting("secret_key").to_owned()),
        ("region", server.setting("region").to_owned()),
        ("bucket_name", bucket.to_owned()),
        ("create_bucket", "true".to_owned()),
    ]
}

/// Azure Blob Storage, for which Azurite stands in, by the account's key.
pub fn azure_blob_azurite() -> Target {
    served("azure_blob_azurite", "azure_blob", "azurite", |server, container| {
        vec![
            ("endpoint_url", server.endpoint.clone() + "/" + server.setting("account_name")),
            ("account_name", server.setting("account_name").to_owned()),
            ("account_key", server.setting("account_key").to_owned()),
            ("container_name", container.to_owned()),
            ("create_container", "true".to_owned()),
            // Azurite closes idle connections after 5 s.
            ("keep_alive", "3s".to_owned()),
        ]
    })
}

/// The plugin of Amazon S3 on SeaweedFS, with versions: the data path.
pub fn aws_s3_seaweedfs() -> Target {
    served("aws_s3_seaweedfs", "aws_s3", "seaweedfs", |server, bucket| {
        let mut settings = aws_s3_settings(server, bucket);
        settings.push(("versioning", "true".to_owned()));
        settings
    })
}

/// The plugin of Amazon S3 on ministack, without versions: what only Amazon has.
pub fn aws_s3_ministack() -> Target {
    served("aws_s3_ministack", "aws_s3", "ministack", |server, bucket| {
        let mut settings = aws_s3_settings(server, bucket);
        // It computes digests in Python, one request after the other.
        settings.push(("read_timeout", "5min".to_owned()));
        settings
    })
}

/// The plugin of Amazon S3 on a directory bucket (S3 Express One Zone), for which one is made of a bucket of ministack.
pub fn aws_s3_express_ministack() -> Target {
    static FRONT: tokio::sync::OnceCell<DirectoryBuckets> = tokio::sync::OnceCell::const_new();
    Target::new("aws_s3_express_ministack", true, |folder| async move {
        let server = Server::find("ministack")
            .map_err(|error| Error::new(ErrorKind::Unavailable, format!("{error:#}")))?;
        let front = FRONT.get_or_init(|| DirectoryBuckets::before(&server)).await;
        let server = Server { endpoint: front.endpoint(), ..server };
        let mut settings = aws_s3_settings(&server, &(bucket_of(&folder) + "--use1-az4--x-s3"));
        // It computes digests in Python, one request after the other.
        settings.push(("read_timeout", "5min".to_owned()));
        open_plugin("aws_s3_express_ministack", "aws_s3", settings).await
    })
}

fn aws_s3_settings(server: &Server, bucket: &str) -> Vec<(&'static str, String)> {
    vec![
        ("endpoint_url", server.endpoint.clone()),
        ("access_key_id", server.setting("access_key").to_owned()),
        ("secret_access_key", server.setting("secret_key").to_owned()),
        ("region", server.setting("region").to_owned()),
        ("bucket_name", bucket.to_owned()),
        ("create_bucket", "true".to_owned()),
    ]
}

/// The trials of a target that a fault of its server keeps from passing. What the provider itself does right is never
/// waived for want of capability: the plugin declares what the provider has, and a test of the plugin's requests
/// shows what the waived trial would.
pub fn waivers(target: &str) -> &'static [Waiver] {
    const WAIVERS: &[(&str, &[Waiver])] = &[
        ("gcs_fake_gcs", FAKE_GCS),
        ("aws_s3_seaweedfs", aws_s3_waivers::SEAWEEDFS),
        ("aws_s3_ministack", aws_s3_waivers::MINISTACK),
        ("aws_s3_express_ministack", aws_s3_waivers::EXPRESS),
        ("minio_seaweedfs", minio_waivers::SEAWEEDFS),
        ("minio_juicefs", minio_waivers::JUICEFS),
        ("azure_blob_azurite", AZURITE),
    ];
    WAIVERS.iter().find(|(name, _)| *name == target).map_or(&[], |(_, waivers)| waivers)
}

/// The trials of a target that lose a race within its server now and then: what a waiver is for one that fails each
/// time. They count where they pass, and are named where they do not.
pub fn races(target: &str) -> &'static [Waiver] {
    match target {
        "aws_s3_seaweedfs" => aws_s3_waivers::SEAWEEDFS_RACES,
        "aws_s3_ministack" => aws_s3_waivers::MINISTACK_RACES,
        "aws_s3_express_ministack" => aws_s3_waivers::EXPRESS_RACES,
        "minio_juicefs" => minio_waivers::JUICEFS_RACES,
        _ => &[],
    }
}

/// What fake-gcs-server does otherwise than Google. `tests/gcs` sees on the recorded requests that the plugin asks for
/// the right thing.
const FAKE_GCS: &[Waiver] = &[
    waived("save::a_refused_save_stores_nothing", "fake-gcs-server: resumable uploads ignore preconditions"),
    waived("delete::if_match_keeps_other_content", "fake-gcs-server: deletes ignore preconditions"),
    waived(
        "copy::a_copy_may_have_other_attributes",
        "fake-gcs-server: rewrites keep attributes that are left out",
    ),
    waived("copy::a_copy_if_absent_is_not_ignored", "fake-gcs-server: rewrites ignore preconditions"),
    waived("copy::a_copy_if_match_is_not_ignored", "fake-gcs-server: rewrites ignore preconditions"),
    waived(
        "multipart::if_absent_refuses_and_the_upload_stays_open",
        "fake-gcs-server: compositions ignore preconditions",
    ),
    waived(
        "multipart::if_match_refuses_and_the_upload_stays_open",
        "fake-gcs-server: compositions ignore preconditions",
    ),
    waived(
        "concurrency::of_many_uploads_if_absent_exactly_one_wins",
        "fake-gcs-server: compositions ignore preconditions",
    ),
    waived(
        "versions::a_completed_upload_makes_a_version",
        "fake-gcs-server: a composition keeps the generation of what it replaces",
    ),
    waived("versions::an_old_version_is_deleted_for_good", "fake-gcs-server: deletes ignore the generation"),
    waived(
        "versions::the_version_before_follows_a_deleted_one",
        "fake-gcs-server: deletes ignore the generation",
    ),
    waived(
        "versions::the_last_version_takes_the_object_with_it",
        "fake-gcs-server: deletes ignore the generation",
    ),
    waived(
        "versions::if_match_deletes_the_known_version_only",
        "fake-gcs-server: deletes ignore preconditions",
    ),
    waived("tiers::an_object_moves_between_tiers", "fake-gcs-server: rewrites keep the storage class"),
    waived("presign::a_url_may_set_what_is_answered", "fake-gcs-server: signed URLs are not read"),
    waived("presign::an_altered_url_gives_nothing", "fake-gcs-server: signatures are not checked"),
    waived("presign::a_url_to_read_does_not_write", "fake-gcs-server: signatures are not checked"),
    waived("presign::a_url_to_write_does_not_read", "fake-gcs-server: signatures are not checked"),
    waived("presign::a_writer_must_send_what_is_bound", "fake-gcs-server: signatures are not checked"),
];

/// What Azurite does otherwise than Azure. `tests/azure_blob` gives Azure's answers in its place.
const AZURITE: &[Waiver] = &[
    waived("tiers::a_restore_is_under_way_once_asked_for", "Azurite: archived objects come back at once"),
    waived("tiers::a_restore_may_be_asked_for_again", "Azurite: archived objects come back at once"),
];

const fn waived(trial: &'static str, reason: &'static str) -> Waiver {
    Waiver { trial, reason }
}

/// A plugin that the build made, on a server that `cargo xtask servers` started. `configure` gets the server and
/// the name of a bucket that is the folder's own, so that the same folder finds the same bucket again.
fn served(
    name: &'static str,
    file: &'static str,
    server: &'static str,
    configure: fn(&Server, &str) -> Vec<(&'static str, String)>,
) -> Target {
    Target::new(name, true, move |folder| async move {
        let server =
            Server::find(server).map_err(|error| Error::new(ErrorKind::Unavailable, format!("{error:#}")))?;
        open_plugin(name, file, configure(&server, &bucket_of(&folder))).await
    })
}

/// The name of a bucket that is the folder's own.
fn bucket_of(folder: &Path) -> String {
    let digest = hex::encode(Sha256::digest(folder.as_os_str().as_encoded_bytes()));
    format!("conformance-{}", &digest[..24])
}

/// A plugin that the build made, opened with the values that `configure` gives.
fn plugin(
    name: &'static str,
    file: &'static str,
    keeps_content: bool,
    configure: fn(&Path) -> Vec<(&'static str, String)>,
) -> Target {
    Target::new(name, keeps_content, move |folder| open_plugin(name, file, configure(&folder)))
}

/// Opens a backend of a plugin that the build made, with these settings.
///
/// # Errors
///
/// Why it could not be loaded or opened.
pub async fn open_plugin(
    name: &'static str,
    file: &'static str,
    settings: Vec<(&'static str, String)>,
) -> Result<Arc<dyn Backend>> {
    let host = tokio::runtime::Handle::current();
    let module = storage_core::abi::load(&plugin_path(file)).map_err(|error| {
        Error::new(ErrorKind::PluginLoad, "the plugin cannot be loaded").with_source(error)
    })?;
    let module = module.polling_bodies_within(move |run| {
        let _entered = host.enter();
        run();
    });
    let mut config = ConfigValues::new();
    for (key, value) in settings {
        config.set(key, value, "the conformance suite");
    }
    module.open(OpenRequest { name: name.to_owned(), config, ..OpenRequest::default() }).await
}

fn native(name: &str, make: fn() -> MemoryBackend) -> Target {
    Target::new(name, false, move |_folder| async move { Ok(Arc::new(make()) as Arc<dyn Backend>) })
}
