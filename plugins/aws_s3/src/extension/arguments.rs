//! [`Arguments`] of an extension, checked against what it says of itself.

use serde_json::{Map, Value};
use storage_core::{Error, Extension, ObjectKey, Result, VersionId};

use crate::error::invalid;
use crate::store::Store;

/// A JSON object whose members are all known and none of which is missing.
pub(super) struct Arguments(Map<String, Value>);

impl Arguments {
    /// Checks the names.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`, naming the argument.
    pub(super) fn check(extension: &Extension, arguments: Value) -> Result<Self> {
        let Value::Object(arguments) = arguments else {
            return Err(invalid("the arguments are not a JSON object"));
        };
        let known: Vec<_> = extension.arguments.iter().map(|one| one.name.as_str()).collect();
        if let Some(name) = arguments.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(fault("the extension has no such argument", name).with_context(
                "available",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") },
            ));
        }
        let missing =
            extension.arguments.iter().find(|one| one.required && !arguments.contains_key(&one.name));
        match missing {
            Some(argument) => Err(fault("an argument is missing", &argument.name)),
            None => Ok(Self(arguments)),
        }
    }

    /// A text that may be absent.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for what is no text.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(fault("the argument is no text", name)),
        }
    }

    /// A text.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`.
    pub(super) fn required_text(&self, name: &str) -> Result<&str> {
        self.text(name)?.filter(|text| !text.is_empty()).ok_or_else(|| fault("the argument is empty", name))
    }

    /// A whole number, 1 or more, as a number or as the text of one; it may be absent.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`.
    pub(super) fn count(&self, name: &str) -> Result<Option<i32>> {
        let number = match self.0.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Number(number)) => number.as_i64(),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        let number = number.and_then(|number| i32::try_from(number).ok()).filter(|number| *number > 0);
        number.map(Some).ok_or_else(|| fault("the argument is no whole number of 1 or more", name))
    }

    /// A switch, as a truth value or as the text of one; `false` where it is absent.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`.
    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(_) => Err(fault("the argument is neither true nor false", name)),
        }
    }

    /// The object's key.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` or `InvalidKey`.
    pub(super) fn key(&self) -> Result<ObjectKey> {
        ObjectKey::new(self.required_text("key")?)
    }

    /// The object's version.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`; `Unsupported` where there are no versions.
    pub(super) fn version(&self, store: &Store) -> Result<Option<VersionId>> {
        let version = self.text("version")?.map(VersionId::new);
        if version.is_some() {
            store.require_versions()?;
        }
        Ok(version)
    }
}

fn fault(message: &str, name: &str) -> Error {
    invalid(message).with_context("argument", name.escape_debug())
}
