//! What Google Cloud Storage has besides: holds, retention, soft delete, Autoclass, cache control and Cloud CDN.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use storage_core::{Error, ErrorKind, Extension, ExtensionArgument, ObjectKey, Result, VersionId};

use crate::client::with_query;
use crate::open::{Store, seconds};
use crate::options::version;
use crate::resource::{Listing, Object};
use crate::{cdn, sweep};

const DAY_SECONDS: u64 = 24 * 3600;

/// Name, description, whether it changes anything, and arguments: name, description, whether it is required.
type Row = (&'static str, &'static str, bool, &'static [(&'static str, &'static str, bool)]);

const KEY: (&str, &str, bool) = ("key", "the key of the file's object", true);
const VERSION: (&str, &str, bool) = ("version", "the generation; the current one where absent", false);

const TABLE: &[Row] = &[
    ("bucket_info", "Describes the bucket as Google does.", false, &[]),
    (
        "set_hold",
        "Sets or lifts holds of an object, which can be neither deleted nor overwritten while it has one.",
        true,
        &[
            KEY,
            VERSION,
            ("temporary", "true or false: the temporary hold; left as it is where absent", false),
            ("event_based", "true or false: the event-based hold; left as it is where absent", false),
        ],
    ),
    (
        "set_retention",
        "Retains an object until a moment. The bucket must have object retention enabled.",
        true,
        &[
            KEY,
            VERSION,
            (
                "until",
                "the moment, such as 2030-01-01T00:00:00Z; absent to lift an unlocked retention",
                false,
            ),
            ("locked", "true for a retention that nobody can shorten or lift; false where absent", false),
        ],
    ),
    (
        "set_bucket_retention",
        "Sets for how long no object of the bucket can be deleted or overwritten; 0 lifts it.",
        true,
        &[("days", "the number of days", true)],
    ),
    (
        "set_cache_control",
        "Sets how long browsers and Cloud CDN may keep an object.",
        true,
        &[KEY, ("cache_control", "the header, such as public, max-age=3600", true)],
    ),
    (
        "set_soft_delete",
        "Sets how long the bucket keeps what was deleted: 7 to 90 days, or 0 for not at all.",
        true,
        &[("days", "the number of days", true)],
    ),
    (
        "list_soft_deleted",
        "Lists objects that were deleted and can still be restored.",
        false,
        &[
            ("prefix", "only keys that start so", false),
            ("page_token", "goes on where the page that gave this token ended", false),
        ],
    ),
    (
        "restore_soft_deleted",
        "Restores an object that was deleted.",
        true,
        &[KEY, ("generation", "the generation, as list_soft_deleted gives it", true)],
    ),
    (
        "set_autoclass",
        "Lets Google move the bucket's objects between the classes, or stops it. Open the backend again afterwards.",
        true,
        &[
            ("enabled", "true or false", true),
            ("terminal_class", "NEARLINE or ARCHIVE, the coldest class; ARCHIVE where absent", false),
        ],
    ),
    (
        "remove_forgotten_parts",
        "Removes what uploads of dead processes left, at once instead of daily.",
        true,
        &[],
    ),
];

const SIGN_CDN_URL: Row = (
    "sign_cdn_url",
    "Signs a URL of Cloud CDN for an object, or a query for all objects whose keys start so.",
    false,
    &[
        ("key", "the key of the file's object", false),
        ("prefix", "what the keys start with; instead of key", false),
        ("expires_in_seconds", "how long it allows it, 1 second to 30 days; an hour where absent", false),
    ],
);

/// What `invoke` can do with this configuration.
pub(crate) fn all(store: &Store) -> Vec<Extension> {
    let signs = store.config.cdn.as_ref().map(|_| &SIGN_CDN_URL);
    TABLE.iter().chain(signs).map(extension).collect()
}

fn extension(row: &Row) -> Extension {
    let (name, description, mutates, arguments) = *row;
    let arguments = arguments.iter().map(|(name, description, required)| ExtensionArgument {
        name: (*name).to_owned(),
        description: (*description).to_owned(),
        required: *required,
    });
    Extension {
        name: name.to_owned(),
        description: description.to_owned(),
        mutates,
        arguments: arguments.collect(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hold {
    key: String,
    version: Option<String>,
    temporary: Option<bool>,
    event_based: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Retention {
    key: String,
    version: Option<String>,
    until: Option<String>,
    #[serde(default)]
    locked: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Days {
    days: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CacheControl {
    key: String,
    cache_control: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SoftDeleted {
    #[serde(default)]
    prefix: String,
    page_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Restore {
    key: String,
    generation: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Autoclass {
    enabled: bool,
    terminal_class: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CdnUrl {
    key: Option<String>,
    prefix: Option<String>,
    expires_in_seconds: Option<u64>,
}

/// Calls an extension.
///
/// # Errors
///
/// As [`storage_core::Backend::invoke`].
pub(crate) async fn invoke(store: &Store, name: &str, arguments: Value) -> Result<Value> {
    match name {
        "bucket_info" => {
            let Nothing {} = read(arguments)?;
            Ok(store.client.get(&store.client.bucket_url(), &[]).await?)
        }
        "set_hold" => set_hold(store, read(arguments)?).await,
        "set_retention" => set_retention(store, read(arguments)?).await,
        "set_bucket_retention" => {
            let Days { days } = read(arguments)?;
            let policy = (days > 0).then(|| json!({ "retentionPeriod": days_text(days) }));
            change_bucket(store, json!({ "retentionPolicy": policy })).await
        }
        "set_cache_control" => {
            let CacheControl { key, cache_control } = read(arguments)?;
            let change = json!({ "cacheControl": cache_control });
            change_object(store, &key, None, &change, &[]).await
        }
        "set_soft_delete" => {
            let Days { days } = read(arguments)?;
            if days != 0 && !(7..=90).contains(&days) {
                return Err(invalid("days is neither 0 nor 7 to 90"));
            }
            let policy = json!({ "retentionDurationSeconds": days_text(days) });
            change_bucket(store, json!({ "softDeletePolicy": policy })).await
        }
        "list_soft_deleted" => list_soft_deleted(store, read(arguments)?).await,
        "restore_soft_deleted" => {
            let Restore { key, generation } = read(arguments)?;
            let url = format!("{}/restore", store.client.object_url(legal(&key)?.as_str()));
            let restored: Object = store.client.post(&url, &[("generation", generation)], &json!({})).await?;
            Ok(json!({ "generation": restored.generation()?.to_string() }))
        }
        "set_autoclass" => set_autoclass(store, read(arguments)?).await,
        "remove_forgotten_parts" => {
            let Nothing {} = read(arguments)?;
            Ok(json!({ "removed": sweep::sweep(store, SystemTime::now()).await? }))
        }
        "sign_cdn_url" if store.config.cdn.is_some() => sign_cdn_url(store, read(arguments)?),
        unknown => {
            let known: Vec<_> = all(store).into_iter().map(|extension| extension.name).collect();
            Err(Error::new(ErrorKind::Unsupported, "this backend has no such extension")
                .with_context("extension", unknown.escape_debug())
                .with_context("known", known.join(", ")))
        }
    }
}

fn read<T: DeserializeOwned>(arguments: Value) -> Result<T> {
    // An array would be taken for the fields in their order.
    if !arguments.is_object() {
        return Err(invalid("the arguments are no JSON object"));
    }
    serde_json::from_value(arguments).map_err(|error| invalid(&error.to_string()))
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// A key is checked, so that what the plugin keeps for itself cannot be changed.
fn legal(key: &str) -> Result<ObjectKey> {
    ObjectKey::new(key)
}

fn days_text(days: u64) -> String {
    seconds(Duration::from_secs(days.saturating_mul(DAY_SECONDS)))
}

async fn change_bucket(store: &Store, change: Value) -> Result<Value> {
    Ok(store.client.patch(&store.client.bucket_url(), &[], &change).await?)
}

async fn change_object(
    store: &Store,
    key: &str,
    named: Option<String>,
    change: &Value,
    query: &[(&'static str, String)],
) -> Result<Value> {
    let key = legal(key)?;
    let generation = version(store, named.map(VersionId::new).as_ref())?;
    let mut query = query.to_vec();
    query.extend(generation.map(|generation| ("generation", generation.to_string())));
    let url = store.client.object_url(key.as_str());
    let object: Value =
        store.client.patch(&url, &query, change).await.map_err(|failure| failure.error.with_key(&key))?;
    Ok(object)
}

async fn set_hold(store: &Store, hold: Hold) -> Result<Value> {
    let mut change = json!({});
    for (name, value) in [("temporaryHold", hold.temporary), ("eventBasedHold", hold.event_based)] {
        if let Some(value) = value {
            change[name] = json!(value);
        }
    }
    if change == json!({}) {
        return Err(invalid("neither temporary nor event_based is given"));
    }
    change_object(store, &hold.key, hold.version, &change, &[]).await
}

async fn set_retention(store: &Store, retention: Retention) -> Result<Value> {
    let change = match &retention.until {
        Some(until) => {
            until.parse::<jiff::Timestamp>().map_err(|error| {
                invalid("until is not a moment such as 2030-01-01T00:00:00Z").with_source(error)
            })?;
            let mode = if retention.locked { "Locked" } else { "Unlocked" };
            json!({ "retention": { "mode": mode, "retainUntilTime": until } })
        }
        None if retention.locked => return Err(invalid("locked is given without until")),
        None => json!({ "retention": null }),
    };
    // Without it Google lets nobody shorten even an unlocked retention.
    let query = [("overrideUnlockedRetention", "true".to_owned())];
    change_object(store, &retention.key, retention.version, &change, &query).await
}

async fn list_soft_deleted(store: &Store, wanted: SoftDeleted) -> Result<Value> {
    let mut query = vec![("softDeleted", "true".to_owned()), ("prefix", wanted.prefix)];
    query.extend(wanted.page_token.map(|token| ("pageToken", token)));
    let client = &store.client;
    let page: Listing = client.get(&with_query(&client.objects_url(), &query), &[]).await?;
    let mut objects = Vec::new();
    for object in page.items.iter().filter(|object| ObjectKey::new(&object.name).is_ok()) {
        objects.push(json!({
            "key": object.name,
            "generation": object.generation()?.to_string(),
            "size_bytes": object.size_bytes()?,
            "deleted_at": object.soft_delete_time,
            "gone_at": object.hard_delete_time,
        }));
    }
    Ok(json!({ "objects": objects, "next_page_token": page.next_page_token }))
}

async fn set_autoclass(store: &Store, wanted: Autoclass) -> Result<Value> {
    let class = wanted.terminal_class.as_deref().unwrap_or("ARCHIVE");
    if !["NEARLINE", "ARCHIVE"].contains(&class) {
        return Err(invalid("terminal_class is neither NEARLINE nor ARCHIVE"));
    }
    let autoclass = match wanted.enabled {
        true => json!({ "enabled": true, "terminalStorageClass": class }),
        false => json!({ "enabled": false }),
    };
    change_bucket(store, json!({ "autoclass": autoclass })).await
}

fn sign_cdn_url(store: &Store, wanted: CdnUrl) -> Result<Value> {
    let Some(cdn) = &store.config.cdn else { return Err(Error::unsupported("sign_cdn_url")) };
    let lasts = wanted.expires_in_seconds.unwrap_or(3600);
    if !(1..=30 * DAY_SECONDS).contains(&lasts) {
        return Err(invalid("expires_in_seconds is not 1 second to 30 days"));
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let expires_at = now + lasts;
    match (wanted.key, wanted.prefix) {
        (Some(key), None) => {
            let url = cdn::sign_object(cdn, legal(&key)?.as_str(), expires_at)?;
            Ok(json!({ "url": url, "expires_at": expires_at }))
        }
        (None, Some(prefix)) => {
            let query = cdn::sign_prefix(cdn, &prefix, expires_at)?;
            Ok(json!({ "query": query, "expires_at": expires_at }))
        }
        _ => Err(invalid("either key or prefix is given, and not both")),
    }
}
