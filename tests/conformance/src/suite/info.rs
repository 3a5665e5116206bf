//! What a backend says of itself, and its own operations.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use storage_core::{Capabilities, ErrorKind};

use super::check::refused;
use super::{Case, Checked, cases};

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_backend_says_what_and_where_it_is,
        a_healthy_backend_has_no_problems,
        restores_need_tiers,
        extensions_describe_themselves,
        an_unknown_extension_is_refused_and_the_known_are_named,
        an_extension_refuses_arguments_that_are_no_object,
        an_extension_refuses_an_unknown_argument,
        an_extension_refuses_to_go_without_a_required_argument,
    ]
}

async fn a_backend_says_what_and_where_it_is(checked: Checked) {
    let info = checked.backend.info();
    assert!(!info.backend_type.is_empty() && !info.location.is_empty(), "{info:?}");
    assert_eq!(*info, *checked.backend.info(), "it says the same each time");
    assert_ne!(info.limits.max_list_page, Some(0));
}

async fn a_healthy_backend_has_no_problems(checked: Checked) {
    let health = checked.backend.health().await.expect("the backend is healthy");
    assert!(health.problems.is_empty(), "{health:?}");
}

async fn restores_need_tiers(checked: Checked) {
    assert!(!checked.has(Capabilities::RESTORE) || checked.has(Capabilities::TIERS));
}

async fn extensions_describe_themselves(checked: Checked) {
    let mut names = BTreeSet::new();
    for extension in &checked.backend.info().extensions {
        let words = extension.arguments.iter().map(|argument| (&argument.name, &argument.description));
        for (name, description) in words.chain([(&extension.name, &extension.description)]) {
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(!name.is_empty() && name.chars().all(legal), "{name:?} is not in snake_case");
            assert!(!description.is_empty(), "{name} is not described");
        }
        assert!(names.insert(extension.name.clone()), "{} is there twice", extension.name);
    }
}

async fn an_unknown_extension_is_refused_and_the_known_are_named(checked: Checked) {
    let answer = checked.backend.invoke("no_such_extension", json!({})).await;
    let text = answer.as_ref().expect_err("unknown").report();
    refused(answer, ErrorKind::Unsupported);
    for extension in &checked.backend.info().extensions {
        assert!(text.contains(&extension.name), "{} is not offered in: {text}", extension.name);
    }
}

async fn an_extension_refuses_arguments_that_are_no_object(checked: Checked) {
    for extension in &checked.backend.info().extensions {
        for arguments in [Value::Null, json!([]), json!("text"), json!(1)] {
            let answer = checked.backend.invoke(&extension.name, arguments).await;
            refused(answer, ErrorKind::InvalidArgument);
        }
    }
}

async fn an_extension_refuses_an_unknown_argument(checked: Checked) {
    for extension in &checked.backend.info().extensions {
        let answer = checked.backend.invoke(&extension.name, json!({ "no_such_argument": 1 })).await;
        refused(answer, ErrorKind::InvalidArgument);
    }
}

async fn an_extension_refuses_to_go_without_a_required_argument(checked: Checked) {
    for extension in &checked.backend.info().extensions {
        if extension.arguments.iter().any(|argument| argument.required) {
            let answer = checked.backend.invoke(&extension.name, json!({})).await;
            refused(answer, ErrorKind::InvalidArgument);
        }
    }
}
