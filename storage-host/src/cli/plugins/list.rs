//! `storage plugins list`.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::table::table;
use crate::plugin::{Candidate, Verdict};

pub(super) fn run(context: &Context) -> anyhow::Result<ExitCode> {
    let registry = context.registry();
    let directories: Vec<Value> = registry
        .directories()
        .iter()
        .map(|directory| json!({
            "path": directory.path,
            "fault": directory.fault.as_ref().map(|fault| json!({ "code": fault.code.as_str(), "cause": fault.cause, "next_step": fault.next_step })),
        }))
        .collect();
    let candidates = registry.list_all_backends();
    let value = json!({
        "directories": directories,
        "plugins": candidates.iter().map(candidate_value).collect::<Vec<_>>(),
    });
    for directory in registry.directories() {
        let path = directory.path.display();
        context.output.remark(&match &directory.fault {
            None => format!("searched {path}"),
            Some(fault) => format!("nothing is loaded from {path}: {}", fault.cause),
        });
    }
    context.output.answer(&value, || match candidates {
        [] => "no plugin was found; build them with: cargo xtask build-plugins".to_owned(),
        found => table(["TYPE", "STATE", "VERSION", "FILE", "DESCRIPTION"], found.iter().map(candidate_row)),
    })
}

fn candidate_value(candidate: &Candidate) -> Value {
    let (state, reason) = state(candidate);
    let manifest = candidate.manifest.as_ref();
    let refusal = candidate.refusal();
    json!({
        "type": candidate.backend_type,
        "path": candidate.path,
        "state": state,
        "reason": reason,
        "code": refusal.map(|refusal| refusal.code.as_str()),
        "next_step": refusal.map(|refusal| refusal.next_step.clone()),
        "description": manifest.map(|manifest| manifest.description.clone()),
        "version": manifest.map(|manifest| manifest.plugin_version.clone()),
        "interface": manifest.map(|manifest| manifest.abi.to_string()),
        "rustc": manifest.map(|manifest| manifest.rustc_version.clone()),
        "target": manifest.map(|manifest| manifest.target.clone()),
    })
}

fn candidate_row(candidate: &Candidate) -> [String; 5] {
    let (state, reason) = state(candidate);
    let manifest = candidate.manifest.as_ref();
    let described = || manifest.map(|manifest| manifest.description.clone()).unwrap_or_default();
    [
        candidate.backend_type.clone().unwrap_or_else(|| "?".to_owned()),
        state.to_owned(),
        manifest.map(|manifest| manifest.plugin_version.clone()).unwrap_or_default(),
        candidate.path.display().to_string(),
        reason.unwrap_or_else(described),
    ]
}

fn state(candidate: &Candidate) -> (&'static str, Option<String>) {
    match &candidate.verdict {
        Verdict::Usable => ("usable", None),
        Verdict::Shadowed { by } => ("shadowed", Some(format!("{} comes first", by.display()))),
        Verdict::Refused(refusal) => ("refused", Some(format!("{}: {}", refusal.code, refusal.cause))),
    }
}
