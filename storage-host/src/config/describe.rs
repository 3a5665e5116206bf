//! The configuration for people: every setting, its value and where it came from. Secrets are masked.

use storage_core::{ConfigField, ConfigSchema, ConfigValue};

use super::Loaded;
use super::keys::{BACKENDS, host_schema};

/// What stands for a secret, whatever its length.
const MASK: &str = "********";

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Setting {
    /// The key: `http.bind`, `backends.hot.bucket_name`.
    pub key: String,
    /// The variable that sets it.
    pub variable: Option<String>,
    /// The value in use. Absent where none is set and there is no default; masked where it is a secret.
    pub value: Option<String>,
    /// Where the value was found: `environment`, `.env line 3`, `storage.toml line 7 [http]`, `default`.
    pub origin: Option<String>,
    /// The value that stands where none is given.
    pub default: Option<String>,
    /// What the setting means.
    pub description: String,
}

/// See [`Loaded::describe`].
pub(super) fn settings(loaded: &Loaded, schemas: &[(&str, &ConfigSchema)]) -> Vec<Setting> {
    let host = host_schema().fields.iter();
    let host =
        host.map(|field| setting(field.key.clone(), field, loaded.host_values.get(&field.key).cloned()));
    let mut settings: Vec<Setting> = host.collect();
    for (name, backend) in &loaded.config.backends {
        let section = format!("{BACKENDS}.{name}");
        settings.push(Setting {
            key: format!("{section}.type"),
            variable: None,
            value: Some(backend.backend_type.clone()),
            origin: None,
            default: None,
            description: "The backend type: which plugin serves it.".to_owned(),
        });
        let schema = schemas.iter().find(|(backend_type, _)| *backend_type == backend.backend_type);
        match schema {
            Some((_, schema)) => {
                let values = loaded.backends.values(name, schema, &loaded.sources).unwrap_or_default();
                settings.extend(schema.fields.iter().map(|field| {
                    setting(format!("{section}.{}", field.key), field, values.get(&field.key).cloned())
                }));
            }
            // Without the schema nobody knows which of the values are secrets.
            None => settings.extend(backend.values.iter().map(|(key, value)| Setting {
                key: format!("{section}.{key}"),
                variable: None,
                value: Some(MASK.to_owned()),
                origin: Some(value.origin.clone()),
                default: None,
                description:
                    "Unknown until the plugin is loaded; masked, since it may be a secret.".to_owned(),
            })),
        }
    }
    settings
}

fn setting(key: String, field: &ConfigField, value: Option<ConfigValue>) -> Setting {
    let mask = |text: String| if field.secret { MASK.to_owned() } else { without_password(&text) };
    let origin = value.as_ref().map(|value| value.origin.clone());
    let text = value.map(|value| value.text).or_else(|| field.default.clone());
    Setting {
        key,
        variable: Some(field.variable.clone()),
        origin: origin.or_else(|| field.default.is_some().then(|| "default".to_owned())),
        value: text.map(mask),
        default: field.default.clone(),
        description: field.description.clone(),
    }
}

/// The text, with the password masked if it is a URL that has one.
fn without_password(text: &str) -> String {
    let masked = || {
        let (scheme, rest) = text.split_once("://")?;
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        let (user, host) = authority.rsplit_once('@')?;
        let (user, _) = user.split_once(':')?;
        let path = &rest[authority.len()..];
        Some(format!("{scheme}://{user}:{MASK}@{host}{path}"))
    };
    masked().unwrap_or_else(|| text.to_owned())
}
