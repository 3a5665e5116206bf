//! [`Account`]: which storage account, and where it answers, from names, URLs or a connection string.

use std::fmt;
use std::sync::LazyLock;

use azure_core::Url;
use azure_core::auth::Secret;
use storage_core::ConfigReader;

use crate::config::endpoint;

/// The emulator's well-known account, which `UseDevelopmentStorage=true` means.
const EMULATOR: &str = "devstoreaccount1";
const EMULATOR_URL: &str = "http://127.0.0.1:10000/devstoreaccount1";

/// What stands for a URL that cannot be made, in a configuration that is refused for that reason.
static PLACE: LazyLock<Url> =
    LazyLock::new(|| Url::parse("https://blob.core.windows.net/").expect("the text is a URL"));

/// A storage account and its endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// Its name, as signatures have it.
    pub(crate) name: String,
    /// Where its blob service answers; ends with a slash.
    pub(crate) primary: Url,
    /// Where the read-only copy of a geo-redundant account answers; ends with a slash.
    pub(crate) secondary: Url,
}

/// The secrets that the configuration names directly. `Debug` prints none.
#[derive(Default)]
pub(crate) struct Named {
    pub(crate) key: Option<Secret>,
    pub(crate) sas: Option<Secret>,
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Named").field("key", &self.key.is_some()).field("sas", &self.sas.is_some()).finish()
    }
}

/// What a connection string says.
#[derive(Default)]
struct Parts {
    name: Option<String>,
    key: Option<String>,
    sas: Option<String>,
    primary: Option<String>,
    secondary: Option<String>,
}

/// Reads the account and the secrets that are named with it. What was given besides a connection string must
/// not contradict it.
pub(crate) fn read(reader: &mut ConfigReader<'_>) -> (Account, Named) {
    let parts = match reader.optional_string("connection_string") {
        None => Parts::default(),
        Some(text) => parse(&text).unwrap_or_else(|problem| {
            reader.fault("connection_string", problem);
            Parts::default()
        }),
    };
    let mut either = |key: &str, from_string: Option<String>| {
        let given = reader.optional_string(key).filter(|text| !text.is_empty());
        if let (Some(given), Some(other)) = (&given, &from_string)
            && given != other
        {
            reader.fault(
                key,
                "is another than that of connection_string (AZURE_CONNECTION_STRING); give one of them",
            );
        }
        given.or(from_string)
    };
    let name = either("account_name", parts.name);
    let key = either("account_key", parts.key);
    let sas = either("sas_token", parts.sas);
    let primary_text = either("endpoint_url", parts.primary);
    let secondary_text = either("secondary_url", parts.secondary);
    let mut url = |key: &str, text: Option<String>| {
        let url = text.as_deref().map(endpoint);
        if url == Some(None) {
            reader
                .fault(key, "is not the URL of a blob service such as https://account.blob.core.windows.net");
        }
        url.flatten()
    };
    let given = url("endpoint_url", primary_text);
    let given_secondary = url("secondary_url", secondary_text);
    let name = name.or_else(|| given.as_ref().and_then(account_of));
    if name.is_none() {
        reader.fault(
            "account_name",
            "is required, or a connection string (AZURE_CONNECTION_STRING) that names the account",
        );
    }
    let name = name.unwrap_or_default();
    if !name.is_empty() && !is_account_name(&name) {
        reader.fault("account_name", format!("{name:?} is no account name: 3 to 24 of a-z and 0-9"));
    }
    let public = || endpoint(&format!("https://{name}.blob.core.windows.net"));
    let Some(primary) = given.or_else(public) else {
        // The name that makes no URL was told above; what stands here is never used.
        return (Account { name, primary: PLACE.clone(), secondary: PLACE.clone() }, Named::default());
    };
    let secondary = given_secondary.unwrap_or_else(|| secondary_of(&primary, &name));
    let key = key.map(Secret::new);
    if let Some(key) = &key
        && azure_core::base64::decode(key.secret()).is_err()
    {
        reader.fault("account_key", "the key is not base64; copy it whole, up to the final ==");
    }
    let sas = sas.map(|text| text.trim_start_matches('?').to_owned());
    if let Some(sas) = &sas
        && !form_urlencoded::parse(sas.as_bytes()).any(|(name, _)| name == "sig")
    {
        reader.fault(
            "sas_token",
            "the token has no signature (sig=…); copy it whole, without the URL before it",
        );
    }
    (Account { name, primary, secondary }, Named { key, sas: sas.map(Secret::new) })
}

/// Reads a connection string. What is wrong is told without the text, which holds secrets.
fn parse(text: &str) -> Result<Parts, String> {
    let mut parts = Parts::default();
    let (mut protocol, mut suffix, mut development) = ("https".to_owned(), None, false);
    for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err("is not name=value;name=value;… as the portal shows it".to_owned());
        };
        let value = value.trim().to_owned();
        match name.trim().to_ascii_lowercase().as_str() {
            "accountname" => parts.name = Some(value),
            "accountkey" => parts.key = Some(value),
            "sharedaccesssignature" => parts.sas = Some(value),
            "blobendpoint" => parts.primary = Some(value),
            "blobsecondaryendpoint" => parts.secondary = Some(value),
            "endpointsuffix" => suffix = Some(value),
            "defaultendpointsprotocol" => protocol = value.to_ascii_lowercase(),
            "usedevelopmentstorage" => development = value.eq_ignore_ascii_case("true"),
            // Endpoints of queues, tables and files, and whatever else there may be: not for blobs.
            _ => {}
        }
    }
    if development {
        parts.name.get_or_insert_with(|| EMULATOR.to_owned());
        parts.key.get_or_insert_with(|| azure_storage::clients::EMULATOR_ACCOUNT_KEY.to_owned());
        parts.primary.get_or_insert_with(|| EMULATOR_URL.to_owned());
    }
    if !matches!(protocol.as_str(), "http" | "https") {
        return Err("has a DefaultEndpointsProtocol other than http and https".to_owned());
    }
    if let (None, Some(name)) = (&parts.primary, &parts.name) {
        let suffix = suffix.as_deref().unwrap_or("core.windows.net");
        parts.primary = Some(format!("{protocol}://{name}.blob.{suffix}"));
    }
    if parts.primary.is_none() {
        return Err("names neither an account (AccountName=…) nor a BlobEndpoint".to_owned());
    }
    Ok(parts)
}

/// The account that an endpoint names: in its host (`account.blob.…`) or, with an address for a host, in its path.
fn account_of(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    let (first, rest) = host.split_once('.').unwrap_or((host, ""));
    if rest.starts_with("blob.") {
        return Some(first.trim_end_matches("-secondary").to_owned());
    }
    let first = url.path_segments()?.next()?;
    (!first.is_empty()).then(|| first.to_owned())
}

/// The same endpoint with `-secondary` at the account's name, be it in the host or in the path.
fn secondary_of(primary: &Url, account: &str) -> Url {
    let mut secondary = primary.clone();
    let host = primary.host_str().unwrap_or_default();
    if let Some(rest) = host.strip_prefix(&format!("{account}.")) {
        // A host with a longer first label is a host as well.
        let _ = secondary.set_host(Some(&format!("{account}-secondary.{rest}")));
    } else {
        secondary.set_path(&primary.path().replacen(account, &format!("{account}-secondary"), 1));
    }
    secondary
}

fn is_account_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (3..=24).contains(&text.len()) && text.chars().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_name_account_key_and_endpoints() {
        let parts = parse(
            "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5==;EndpointSuffix=core.chinacloudapi.cn",
        )
        .expect("sound");
        assert_eq!(parts.primary.as_deref(), Some("https://acc.blob.core.chinacloudapi.cn"));
        assert_eq!((parts.name.as_deref(), parts.key.as_deref()), (Some("acc"), Some("a2V5==")));
        let parts =
            parse("BlobEndpoint=https://acc.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=x%3D")
                .expect("sound");
        assert_eq!(parts.sas.as_deref(), Some("sv=1&sig=x%3D"));
        let parts = parse("UseDevelopmentStorage=true").expect("sound");
        assert_eq!((parts.name.as_deref(), parts.primary.as_deref()), (Some(EMULATOR), Some(EMULATOR_URL)));
    }

    #[test]
    fn a_faulty_connection_string_is_not_repeated() {
        for text in ["AccountKey=hunter2", "hunter2", "DefaultEndpointsProtocol=hunter2;AccountName=a"] {
            let problem = parse(text).err().expect("faulty");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn the_secondary_is_at_the_host_or_in_the_path() {
        for (primary, expected) in [
            ("https://acc.blob.core.windows.net/", "https://acc-secondary.blob.core.windows.net/"),
            ("http://127.0.0.1:10000/acc/", "http://127.0.0.1:10000/acc-secondary/"),
        ] {
            let primary = endpoint(primary).expect("a URL");
            assert_eq!(account_of(&primary).as_deref(), Some("acc"));
            assert_eq!(secondary_of(&primary, "acc").as_str(), expected);
        }
    }
}
