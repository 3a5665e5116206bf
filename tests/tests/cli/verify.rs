//! `storage plugins verify`: on a plugin that behaves, on one that does not, and on one that cannot be opened.

use storage_tests::plugins::plugin_path;
use storage_tests::torture::{Fault, Stage, library};

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

/// A library with a fault, in the sandbox.
fn torture(sandbox: &Sandbox, stage: Stage, fault: Fault) -> String {
    library(&sandbox.path("."), "torture", stage, fault).display().to_string()
}

#[test]
fn a_case_in_which_the_plugin_takes_its_process_with_it_is_named_and_the_others_come_out() {
    for (fault, words) in [
        (Fault::Segfault, "it crashed with SIGSEGV while this case ran"),
        (Fault::Exit, "it ended the process with the exit code 3 while this case ran"),
    ] {
        let sandbox = Sandbox::empty();
        let path = torture(&sandbox, Stage::Exists, fault);
        let arguments = ["plugins", "verify", &path, "--volatile", "--only", "delete::", "--json"];
        let report = sandbox.storage(&arguments).ended(8).json();
        let cases = report["groups"][0]["cases"].as_array().expect("a list");
        let blamed = cases.iter().filter(|case| {
            case["reason"].as_str().is_some_and(|reason| reason.contains(words))
                && case["outcome"] == "failed"
        });
        let blamed: Vec<_> = blamed.map(|case| case["name"].as_str().expect("a name")).collect();
        assert_eq!(blamed, ["delete::a_deleted_object_is_gone"], "the one that asks: {report}");
        assert!(report["passed"].as_u64() > Some(6), "the others were run after it: {report}");
        let names: Vec<_> = cases.iter().map(|case| case["name"].as_str().expect("a name")).collect();
        let sound = ["plugins", "verify", &memory(), "--volatile", "--only", "delete::", "--json"];
        let sound = sandbox.storage(&sound).succeeded().json();
        let expected = sound["groups"][0]["cases"].as_array().expect("a list");
        assert!(expected.iter().map(|case| case["name"].as_str().expect("a name")).eq(names), "{report}");
    }
}

#[test]
fn of_cases_that_ran_at_once_only_the_guilty_one_is_blamed() {
    let sandbox = Sandbox::empty();
    let path = torture(&sandbox, Stage::Exists, Fault::Segfault);
    let verify = |only: &str| {
        let arguments = ["plugins", "verify", &path, "--volatile", "--only", only, "--json"];
        let report = sandbox.storage(&arguments).ended(8).json();
        let groups = report["groups"].as_array().expect("a list").clone();
        let cases = groups.iter().flat_map(|group| group["cases"].as_array().expect("a list").clone());
        let crashed =
            cases.filter(|case| case["reason"].as_str().is_some_and(|reason| reason.contains("SIGSEGV")));
        crashed.map(|case| case["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    let blamed = verify("save::");
    assert!(!blamed.is_empty());
    for case in blamed {
        assert_eq!(verify(&case), [case.as_str()], "it crashes when it runs alone, too");
    }
}

#[test]
fn a_plugin_that_stands_still_is_ended_and_its_case_named() {
    let sandbox = Sandbox::empty();
    let path = torture(&sandbox, Stage::Exists, Fault::Spin);
    let case = "delete::a_deleted_object_is_gone";
    let names =
        sandbox.storage(&["plugins", "verify", &memory(), "--volatile", "--only", "delete::", "--json"]);
    let names = names.succeeded().json();
    let known = names["groups"][0]["cases"].as_array().expect("a list");
    assert!(known.iter().any(|one| one["name"] == case), "{names}");
    let arguments = ["plugins", "verify", &path, "--volatile", "--only", case, "--timeout", "2s"];
    let run = sandbox.storage(&arguments).ended(8);
    assert!(run.text().contains(case) && run.text().contains("it stood still for 2 s"), "{}", run.text());
}

#[test]
fn a_plugin_that_crashes_before_the_first_case_is_told_with_the_stage_and_the_signal() {
    for (stage, words) in [
        (Stage::Constructor, "it crashed with SIGSEGV while it was loaded"),
        (Stage::Open, "it crashed with SIGSEGV while it opened a backend"),
    ] {
        let sandbox = Sandbox::empty();
        let path = torture(&sandbox, stage, Fault::Segfault);
        let run = sandbox.storage(&["plugins", "verify", &path, "--volatile"]).ended(4);
        run.tells(&["libstorage_backend_torture.so", words, "code: plugin_crashed", "next step: "]);
    }
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
