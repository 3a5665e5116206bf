//! `storage plugins verify`: on a plugin that behaves, on one that does not, and on one that cannot be opened.

use storage_tests::plugins::plugin_path;

use crate::sandbox::Sandbox;

/// The case that a backend in memory fails, unless it is said to be one.
const LASTING: &str = "save::saves_survive_a_restart";

fn memory() -> String {
    plugin_path("memory").display().to_string()
}

#[test]
fn a_found_plugin_is_verified_beside_the_storage_that_is_in_use() {
    let sandbox = Sandbox::new();
    let run =
        sandbox.storage(&["plugins", "verify", "local", "--set", "fsync=false", "--only", "retrieve::"]);
    let run = run.succeeded().silently();
    for part in ["plugin         local", "supports       write_if_absent", "retrieve          17 passed"] {
        assert!(run.text().contains(part), "{part} is missing in {}", run.text());
    }
    assert!(run.text().ends_with("local does what every backend must, and what it says that it can\n"));
    assert_eq!(sandbox.names("."), [".env", "plugins"], "no storage was made where the service has its own");
}

#[test]
fn a_configured_backend_gives_the_settings() {
    let sandbox = Sandbox::new();
    let arguments = ["plugins", "verify", "local", "--backend", "local", "--only", "info::", "--json"];
    let report = sandbox.storage(&arguments).succeeded().json();
    assert!(report["backend"]["location"].as_str().expect("a text").ends_with("/storage"), "{report}");
    sandbox.storage(&["plugins", "verify", "local", "--backend", "far"]).ended(4).tells(&["\"far\""]);
}

#[test]
fn a_plugin_that_does_not_behave_is_told_with_the_case_and_the_place_and_ends_with_8() {
    let sandbox = Sandbox::empty();
    let run = sandbox.storage(&["plugins", "verify", &memory(), "--only", "save::"]).ended(8).silently();
    let told = run.text();
    for part in [", 1 FAILED", LASTING, "suite/", "memory does not behave as it must: 1 failure"] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
    let run = sandbox.storage(&["plugins", "verify", &memory(), "--only", LASTING, "--volatile"]).succeeded();
    assert!(
        run.text().contains("left out: 1 case, since it keeps nothing when it is closed"),
        "{}",
        run.text()
    );
}

#[test]
fn programs_get_json_and_junit() {
    let sandbox = Sandbox::empty();
    let arguments =
        ["plugins", "verify", &memory(), "--only", "save::saves", "--json", "--junit", "report.xml"];
    let report = sandbox.storage(&arguments).ended(8).silently().json();
    assert_eq!(report["passes"], false);
    assert_eq!(report["plugin"]["type"], "memory");
    let cases = report["groups"][0]["cases"].as_array().expect("a list");
    let failed = cases.iter().find(|case| case["name"] == LASTING).expect("it was run");
    assert_eq!(failed["outcome"], "failed");
    assert!(failed["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    assert_eq!(report["failed"], 1);

    let xml = String::from_utf8(sandbox.read("report.xml")).expect("text");
    let case = "<testcase classname=\"save\" name=\"saves_survive_a_restart\"";
    assert!(xml.contains("failures=\"1\"") && xml.contains(case) && xml.contains("<failure "), "{xml}");
    assert!(xml.ends_with("</testsuites>\n"), "{xml}");
}

#[test]
fn what_hinders_a_verification_is_told_before_it_begins() {
    let sandbox = Sandbox::new();
    let run =
        sandbox.storage(&["plugins", "verify", "local", "--set", "fsyn=false", "--set", "create=maybe"]);
    run.ended(4).tells(&["did you mean fsync?", "LOCAL_CREATE", "found in --set", "--set KEY=VALUE"]);
    sandbox.storage(&["plugins", "verify", "lokal"]).ended(4).tells(&["did you mean local?"]);
    sandbox.storage(&["plugins", "verify", "./gone.so"]).ended(4).tells(&["gone.so"]);
    sandbox.storage(&["plugins", "verify", "local", "--only", "nonsense"]).ended(2).tells(&["--only"]);
}
