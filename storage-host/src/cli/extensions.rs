//! `storage backends call | policy`: a provider's own operations, by name.
//!
//! The host knows no provider. What there is to call a backend says itself; that the one which prints the permissions
//! it needs is named `policy` is a convention among plugins.

use std::process::ExitCode;

use serde_json::{Map, Value, json};
use storage_core::{Error, ErrorKind, Extension};

use super::arguments::usage;
use super::context::Context;
use super::table::table;
use crate::manager::NamedBackend;

/// The extension that prints the permissions that a backend needs.
const POLICY: &str = "policy";

/// One argument of an extension: `NAME=TEXT`, or `NAME:=JSON`.
pub(super) fn argument(text: &str) -> Result<(String, Value), String> {
    const FORM: &str = "write NAME=TEXT, or NAME:=JSON for a number, a truth value, a list or an object";
    let (name, value) = text.split_once('=').ok_or(FORM)?;
    let (name, value) = match name.strip_suffix(':') {
        None => (name, Value::from(value)),
        Some(name) => {
            (name, serde_json::from_str(value).map_err(|error| format!("{value:?} is no JSON: {error}"))?)
        }
    };
    if name.is_empty() { Err(FORM.to_owned()) } else { Ok((name.to_owned(), value)) }
}

/// Calls an extension, or lists those that there are.
pub(super) async fn call(
    context: &Context,
    backend: &NamedBackend,
    operation: Option<String>,
    arguments: Vec<(String, Value)>,
) -> anyhow::Result<ExitCode> {
    let NamedBackend { name, backend, .. } = backend;
    let Some(operation) = operation else { return list(context, name, &backend.info().extensions) };
    let mut object = Map::new();
    for (name, value) in arguments {
        if object.insert(name.clone(), value).is_some() {
            return Err(usage(&format!("the argument {name} is given twice")).into());
        }
    }
    let answer = backend.invoke(&operation, Value::Object(object)).await?;
    show(context, &answer)
}

/// Prints the permissions that a backend needs.
pub(super) async fn policy(context: &Context, backend: &NamedBackend) -> anyhow::Result<ExitCode> {
    let NamedBackend { name, backend, .. } = backend;
    let has_policy = backend.info().extensions.iter().any(|extension| extension.name == POLICY);
    if !has_policy {
        let backend_type = backend.info().backend_type.clone();
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("backends of type {backend_type} have no policy: nothing grants them permissions"),
        )
        .with_backend(name.as_str())
        .into());
    }
    let answer = backend.invoke(POLICY, json!({})).await?;
    show(context, &answer)
}

/// Writes an answer: a text as it is, anything else as JSON, which is what it is.
fn show(context: &Context, answer: &Value) -> anyhow::Result<ExitCode> {
    let pretty = serde_json::to_string_pretty(answer)?;
    context.output.answer(answer, || answer.as_str().map_or(pretty, str::to_owned))
}

fn list(context: &Context, name: &str, extensions: &[Extension]) -> anyhow::Result<ExitCode> {
    let values: Vec<_> = extensions
        .iter()
        .map(|extension| {
            let arguments = extension.arguments.iter().map(|argument| {
                json!({
                    "name": argument.name,
                    "description": argument.description,
                    "required": argument.required,
                })
            });
            json!({
                "name": extension.name,
                "description": extension.description,
                "mutates": extension.mutates,
                "arguments": arguments.collect::<Vec<_>>(),
            })
        })
        .collect();
    let empty = format!("the backend {name} has no operations of its own");
    context.output.list(&values, &empty, || {
        let rows = extensions.iter().flat_map(|extension| {
            let changes = if extension.mutates { "changes" } else { "reads" };
            let own =
                [extension.name.clone(), String::new(), changes.to_owned(), extension.description.clone()];
            let arguments = extension.arguments.iter().map(|argument| {
                let need = if argument.required { "required" } else { "optional" };
                [String::new(), argument.name.clone(), need.to_owned(), argument.description.clone()]
            });
            std::iter::once(own).chain(arguments)
        });
        table(["OPERATION", "ARGUMENT", "", "MEANING"], rows)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_texts_or_json() {
        let of = |text| argument(text).expect(text);
        assert_eq!(of("key=a=b"), ("key".to_owned(), json!("a=b")));
        assert_eq!(of("days:=3"), ("days".to_owned(), json!(3)));
        assert_eq!(of("headers:={\"a\":\"=\"}"), ("headers".to_owned(), json!({ "a": "=" })));
        assert_eq!(of("empty="), ("empty".to_owned(), json!("")));
        for faulty in ["", "key", "=x", ":=1", "days:=three"] {
            assert!(argument(faulty).is_err(), "{faulty}");
        }
    }
}
