//! What only one provider can do, called by name.

use crate::sandbox::Sandbox;

#[test]
fn the_operations_of_a_backend_are_listed_with_their_arguments() {
    let sandbox = Sandbox::new();
    let run = sandbox.storage(&["backends", "call", "local"]).succeeded();
    assert!(run.text().contains("OPERATION") && run.text().contains("prune"), "{}", run.text());
    let json = sandbox.storage(&["backends", "call", "local", "--json"]).succeeded().silently().json();
    let prune = json.as_array().and_then(|all| all.iter().find(|one| one["name"] == "prune"));
    let prune = prune.unwrap_or_else(|| panic!("prune is missing in {json}"));
    assert_eq!((&prune["mutates"], &prune["arguments"]), (&true.into(), &serde_json::json!([])));
}

#[test]
fn an_operation_is_called_and_its_answer_printed() {
    let sandbox = Sandbox::new();
    let json = sandbox.storage(&["backends", "call", "local", "prune"]).succeeded().json();
    assert_eq!(json["removed_versions"], 0);
}

#[test]
fn texts_and_json_reach_the_operation_as_what_they_are() {
    let sandbox = Sandbox::empty();
    sandbox.install("memory");
    sandbox.write(".env", "PRIMARY_BACKEND=memory\n");
    let call = |argument: &str| sandbox.storage(&["backends", "call", "memory", "advance_clock", argument]);
    call("seconds:=3").succeeded();
    call("seconds=3").ended(2).tells(&["seconds is a whole number"]);
    call("seconds").ended(2).tells(&["NAME=TEXT"]);
    call("minutes:=3").ended(2).tells(&["minutes"]);
}

#[test]
fn an_unknown_operation_names_those_that_there_are() {
    let sandbox = Sandbox::new();
    sandbox.storage(&["backends", "call", "local", "prun"]).ended(1).tells(&["prun", "prune"]);
    sandbox.storage(&["backends", "call", "nowhere"]).ended(4).tells(&["nowhere"]);
    let twice = ["backends", "call", "local", "prune", "a=1", "a=2"];
    sandbox.storage(&twice).ended(2).tells(&["a is given twice"]);
}

#[test]
fn a_backend_to_which_nothing_is_granted_has_no_policy() {
    let sandbox = Sandbox::new();
    sandbox
        .storage(&["backends", "policy", "local"])
        .ended(1)
        .tells(&["backends of type local", "no policy"]);
}
