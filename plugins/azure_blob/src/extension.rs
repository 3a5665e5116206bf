//! `invoke`: what only Azure has. One table says what there is; each entry is a function.

use std::time::{Duration, SystemTime};

use azure_core::Method;
use serde_json::{Map, Value, json};
use storage_core::{Error, ErrorKind, Extension, ExtensionArgument, ObjectKey, Result, WriteCondition};

use crate::client::{Call, Target};
use crate::copy;
use crate::sas::Moment;
use crate::store::{Shared, Store};
use crate::xml::{Element, escape};
use crate::{attributes, error, list, name, uploads};

/// One extension: name, what it does, whether it changes anything, and its arguments (name, meaning, required).
type Row = (&'static str, &'static str, bool, &'static [(&'static str, &'static str, bool)]);

const KEY: (&str, &str, bool) = ("key", "The object's key.", true);

const TABLE: &[Row] = &[
    ("account_info", "Tells the account's redundancy (SKU) and kind.", false, &[]),
    (
        "replication_status",
        "Asks the secondary of a geo-redundant account whether it answers and until when it has everything.",
        false,
        &[],
    ),
    ("create_snapshot", "Keeps the object's present content as a snapshot.", true, &[KEY]),
    ("list_snapshots", "Lists the snapshots of an object, oldest first.", false, &[KEY]),
    (
        "restore_snapshot",
        "Makes the content of a snapshot the object's present one.",
        true,
        &[KEY, ("snapshot", "The snapshot's name, as list_snapshots gives it.", true)],
    ),
    (
        "list_deleted",
        "Lists objects that soft delete still keeps.",
        false,
        &[("prefix", "Only keys that start with this text.", false)],
    ),
    ("undelete", "Brings back an object, and its snapshots, that soft delete still keeps.", true, &[KEY]),
    (
        "find_by_tags",
        "Finds objects by their tags; the index may be some seconds behind.",
        false,
        &[("where", "The condition in Azure's words, such as \"team\" = 'a'.", true)],
    ),
    (
        "set_tags",
        "Puts tags in the place of those that an object has.",
        true,
        &[KEY, ("tags", "A JSON object of texts.", true)],
    ),
    (
        "set_immutability",
        "Keeps an object from being changed or deleted until a moment.",
        true,
        &[
            KEY,
            ("until", "The moment, such as 2030-01-01T00:00:00Z.", true),
            ("mode", "Unlocked (may be taken back) or Locked (may not); Unlocked where absent.", false),
        ],
    ),
    ("delete_immutability", "Takes an unlocked immutability back.", true, &[KEY]),
    (
        "set_legal_hold",
        "Keeps an object from being changed or deleted until the hold is taken back.",
        true,
        &[KEY, ("hold", "true or false.", true)],
    ),
    (
        "sweep_uploads",
        "Drops uploads in parts that are older than upload_expiry, as is done daily.",
        true,
        &[],
    ),
];

/// All extensions, described.
pub(crate) fn all() -> Vec<Extension> {
    let argument = |(name, description, required): &(&str, &str, bool)| ExtensionArgument {
        name: (*name).to_owned(),
        description: (*description).to_owned(),
        required: *required,
    };
    TABLE
        .iter()
        .map(|(name, description, mutates, arguments)| Extension {
            name: (*name).to_owned(),
            description: (*description).to_owned(),
            mutates: *mutates,
            arguments: arguments.iter().map(argument).collect(),
        })
        .collect()
}

/// Calls an extension.
///
/// # Errors
///
/// `Unsupported` for a name that is not in the table; `InvalidArgument` for wrong arguments; what the service says.
pub(crate) async fn invoke(store: Shared, name: &str, arguments: Value) -> Result<Value> {
    let Some((_, _, _, declared)) = TABLE.iter().find(|row| row.0 == name) else {
        let available: Vec<_> = TABLE.iter().map(|row| row.0).collect();
        return Err(Error::new(ErrorKind::Unsupported, "there is no such extension")
            .with_context("extension", name.escape_debug())
            .with_context("available", available.join(", ")));
    };
    let given = Given(check(declared, arguments)?);
    let store = &*store;
    match name {
        "account_info" => account_info(store).await,
        "replication_status" => replication_status(store).await,
        "create_snapshot" => create_snapshot(store, &given.blob()?).await,
        "list_snapshots" => list_snapshots(store, &given.blob()?).await,
        "restore_snapshot" => restore_snapshot(store, &given.key()?, &given.text("snapshot")?).await,
        "list_deleted" => list_deleted(store, &given.optional_text("prefix")?.unwrap_or_default()).await,
        "undelete" => put(store, &given.blob()?, "undelete", &[]).await,
        "find_by_tags" => find_by_tags(store, &given.text("where")?).await,
        "set_tags" => set_tags(store, &given).await,
        "set_immutability" => set_immutability(store, &given).await,
        "delete_immutability" => {
            let call = Call::blob(Method::Delete, &given.blob()?).query("comp", "immutabilityPolicies");
            store.client.send(&call).await.map(|_| json!({}))
        }
        "set_legal_hold" => {
            let hold = given.0.get("hold").and_then(Value::as_bool);
            let hold = hold.ok_or_else(|| invalid("hold", "is not true or false"))?;
            put(store, &given.blob()?, "legalhold", &[("x-ms-legal-hold", &hold.to_string())]).await
        }
        _ => Ok(json!({ "dropped_uploads": uploads::sweep(store).await? })),
    }
}

fn check(declared: &[(&str, &str, bool)], arguments: Value) -> Result<Map<String, Value>> {
    let Value::Object(given) = arguments else {
        return Err(Error::new(ErrorKind::InvalidArgument, "the arguments are no JSON object"));
    };
    if let Some(unknown) = given.keys().find(|name| declared.iter().all(|argument| argument.0 != *name)) {
        return Err(invalid(unknown, "is no argument of this extension"));
    }
    match declared.iter().find(|argument| argument.2 && !given.contains_key(argument.0)) {
        Some(missing) => Err(invalid(missing.0, "is missing")),
        None => Ok(given),
    }
}

fn invalid(argument: &str, what: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("the argument {} {what}", argument.escape_debug()))
}

/// Arguments that are known and complete.
struct Given(Map<String, Value>);

impl Given {
    fn optional_text(&self, name: &str) -> Result<Option<String>> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(invalid(name, "is no text")),
        }
    }

    fn text(&self, name: &str) -> Result<String> {
        self.optional_text(name)?.ok_or_else(|| invalid(name, "is missing"))
    }

    fn key(&self) -> Result<ObjectKey> {
        let text = self.text("key")?;
        ObjectKey::new(&text).map_err(|error| invalid("key", "is no key").with_source(error))
    }

    fn blob(&self) -> Result<String> {
        name::of_key(&self.key()?)
    }
}

async fn put(store: &Store, blob: &str, comp: &str, headers: &[(&str, &str)]) -> Result<Value> {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    store.client.send(&Call::blob(Method::Put, blob).query("comp", comp).headers(headers)).await?;
    Ok(json!({}))
}

async fn account_info(store: &Store) -> Result<Value> {
    let call =
        Call::new(Method::Get, Target::Service).query("restype", "account").query("comp", "properties");
    let reply = store.client.read(&call).await?;
    Ok(json!({
        "sku": reply.header("x-ms-sku-name"),
        "kind": reply.header("x-ms-account-kind"),
        "hierarchical_namespace": reply.header("x-ms-is-hns-enabled") == Some("true"),
    }))
}

async fn replication_status(store: &Store) -> Result<Value> {
    let call = Call::new(Method::Get, Target::Service).query("restype", "service").query("comp", "stats");
    let root = Element::parse(&store.client.send_to_secondary(&call).await?.text().await?)?;
    let replication = root.child("GeoReplication").ok_or_else(|| error::malformed("replication"))?;
    let time = replication.text_of("LastSyncTime").and_then(attributes::http_time);
    let time = time.and_then(|time| jiff::Timestamp::try_from(time).ok());
    Ok(json!({
        "status": replication.text_of("Status"),
        "last_sync_time": time.map(|time| time.to_string()),
    }))
}

async fn create_snapshot(store: &Store, blob: &str) -> Result<Value> {
    let reply = store.client.send(&Call::blob(Method::Put, blob).query("comp", "snapshot")).await?;
    Ok(json!({ "snapshot": reply.header("x-ms-snapshot") }))
}

/// All blobs of a listing that has something besides the objects.
async fn listed(store: &Store, prefix: &str, include: &str) -> Result<Vec<Element>> {
    let (mut found, mut marker) = (Vec::new(), None::<String>);
    loop {
        let mut call = Call::new(Method::Get, Target::Container)
            .query("restype", "container")
            .query("comp", "list")
            .query("include", include)
            .query("prefix", prefix);
        if let Some(marker) = &marker {
            call = call.query("marker", marker);
        }
        let root = Element::parse(&store.client.read(&call).await?.text().await?)?;
        let next = root.text_of("NextMarker").map(str::to_owned);
        found.extend(root.into_child("Blobs").into_iter().flat_map(Element::into_children));
        match next {
            Some(next) => marker = Some(next),
            None => return Ok(found),
        }
    }
}

async fn list_snapshots(store: &Store, blob: &str) -> Result<Value> {
    let found = listed(store, blob, "snapshots").await?;
    let snapshots = found.iter().filter(|one| one.child("Name").is_some_and(|name| name.name_text() == blob));
    let snapshots = snapshots.filter_map(|one| {
        let size_bytes = list::object(one)?.size_bytes;
        Some(json!({ "snapshot": one.text_of("Snapshot")?, "size_bytes": size_bytes }))
    });
    Ok(json!({ "snapshots": snapshots.collect::<Vec<_>>() }))
}

async fn restore_snapshot(store: &Store, key: &ObjectKey, snapshot: &str) -> Result<Value> {
    let blob = name::of_key(key)?;
    let reply = store.client.send(&Call::blob(Method::Head, &blob).query("snapshot", snapshot)).await?;
    let size = reply.header("content-length").and_then(|text| text.parse().ok());
    let meta =
        attributes::from_headers(key, &reply.headers, size.ok_or_else(|| error::malformed("length"))?)?;
    let source = copy::address(store, &blob, Some(Moment::Snapshot(snapshot)), &meta).await?;
    let attributes = copy::attributes_of(&meta);
    let saved = copy::compose(store, &blob, &source, &meta, &attributes, &WriteCondition::Always).await?;
    Ok(json!({ "size_bytes": saved.size_bytes, "etag": saved.etag.map(|tag| tag.to_string()) }))
}

async fn list_deleted(store: &Store, prefix: &str) -> Result<Value> {
    let found = listed(store, &name::of_prefix(prefix), "deleted").await?;
    let deleted = found.iter().filter(|one| one.text_of("Deleted") == Some("true"));
    let deleted = deleted.filter_map(|one| {
        let meta = list::object(one)?;
        let properties = one.child("Properties")?;
        let days_left =
            properties.text_of("RemainingRetentionDays").and_then(|text| text.parse::<u64>().ok());
        Some(json!({ "key": meta.key.as_str(), "size_bytes": meta.size_bytes, "days_left": days_left }))
    });
    Ok(json!({ "deleted": deleted.collect::<Vec<_>>() }))
}

async fn find_by_tags(store: &Store, condition: &str) -> Result<Value> {
    let (mut keys, mut marker) = (Vec::new(), None::<String>);
    loop {
        let mut call = Call::new(Method::Get, Target::Container)
            .query("restype", "container")
            .query("comp", "blobs")
            .query("where", condition);
        if let Some(marker) = &marker {
            call = call.query("marker", marker);
        }
        let root = Element::parse(&store.client.read(&call).await?.text().await?)?;
        let blobs = root.child("Blobs").into_iter().flat_map(Element::children);
        keys.extend(blobs.filter_map(|blob| name::to_key(&blob.child("Name")?.name_text())));
        match root.text_of("NextMarker") {
            Some(next) => marker = Some(next.to_owned()),
            None => break,
        }
    }
    Ok(json!({ "keys": keys.iter().map(ObjectKey::as_str).collect::<Vec<_>>() }))
}

async fn set_tags(store: &Store, given: &Given) -> Result<Value> {
    let tags = given.0.get("tags").cloned().unwrap_or_default();
    let tags: std::collections::BTreeMap<String, String> =
        serde_json::from_value(tags).map_err(|_| invalid("tags", "is no JSON object of texts"))?;
    storage_core::object::validate_tags(&tags)?;
    let set: String = tags
        .iter()
        .map(|(name, value)| {
            format!("<Tag><Key>{}</Key><Value>{}</Value></Tag>", escape(name), escape(value))
        })
        .collect();
    let body = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><Tags><TagSet>{set}</TagSet></Tags>");
    let call = Call::blob(Method::Put, &given.blob()?).query("comp", "tags").body(body.into());
    store.client.send(&call).await?;
    Ok(json!({ "tags": tags.len() }))
}

async fn set_immutability(store: &Store, given: &Given) -> Result<Value> {
    let mode = given.optional_text("mode")?.unwrap_or_else(|| "Unlocked".to_owned());
    if !["Unlocked", "Locked"].contains(&mode.as_str()) {
        return Err(invalid("mode", "is not Unlocked or Locked"));
    }
    let until = given.text("until")?.parse::<jiff::Timestamp>();
    let until = until.map_err(|_| invalid("until", "is no moment such as 2030-01-01T00:00:00Z"))?;
    let seconds =
        u64::try_from(until.as_second()).map_err(|_| invalid("until", "is a moment before 1970"))?;
    let until = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    let headers =
        [("x-ms-immutability-policy-until-date", until.as_str()), ("x-ms-immutability-policy-mode", &mode)];
    put(store, &given.blob()?, "immutabilityPolicies", &headers).await
}
