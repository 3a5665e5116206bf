//! Saving, listing, copying, deleting and linking files.

use std::net::TcpListener;

use serde_json::Value;

use crate::sandbox::Sandbox;

#[test]
fn a_file_is_saved_under_its_name_and_its_id_is_the_whole_answer() {
    let sandbox = Sandbox::new();
    sandbox.write("resume.pdf", b"%PDF-1.7 of ada");
    let run = sandbox.storage(&["put", "resume.pdf", "--user", "ada", "-q", "--meta", "job_id=123"]);
    let id = run.succeeded().silently().line();
    let listed = sandbox.storage(&["ls", "--user", "ada", "--json"]).succeeded().json();
    assert_eq!(listed[0]["id"], id);
    assert_eq!(listed[0]["filename"], "resume.pdf");
    assert_eq!(listed[0]["content_type"], "application/pdf");
    assert_eq!(listed[0]["size_bytes"], 15);
    assert_eq!(listed[0]["metadata"]["job_id"], "123");
    assert_eq!(listed[0]["backend"], "local");
}

#[test]
fn the_first_command_says_that_it_made_a_catalog_and_the_second_does_not() {
    let sandbox = Sandbox::new();
    sandbox.storage(&["ls", "--user", "ada"]).succeeded().tells(&["storage-catalog.db", "ada has no files"]);
    let run = sandbox.storage(&["ls", "--user", "ada"]).succeeded();
    assert_eq!((run.text(), run.stderr.as_str()), ("", "ada has no files\n"));
}

#[test]
fn files_that_cannot_be_read_do_not_keep_the_others_from_being_saved() {
    let sandbox = Sandbox::new();
    sandbox.write("a.txt", "a");
    sandbox.write("empty.txt", "");
    std::fs::create_dir(sandbox.path("folder")).expect("a folder");
    let arguments = ["put", "a.txt", "missing.txt", "folder", "empty.txt", "--user", "ada"];
    let run = sandbox.storage(&arguments).ended(3).tells(&["missing.txt", "folder", "directory"]);
    assert_eq!(run.text().lines().count(), 2, "two ids: {}", run.text());
    let listed = sandbox.storage(&["ls", "--user", "ada", "--json"]).succeeded().json();
    let sizes: Vec<_> = listed.as_array().expect("a list").iter().map(|file| &file["size_bytes"]).collect();
    assert_eq!(sizes, [1, 0]);
}

#[test]
fn json_names_what_was_saved_and_each_failure_is_an_error_of_its_own() {
    let sandbox = Sandbox::new();
    sandbox.write("a.txt", "a");
    let run = sandbox.storage(&["put", "missing.txt", "a.txt", "--user", "ada", "--json"]).ended(3);
    assert_eq!(run.json()[0]["filename"], "a.txt");
    let error = run.json_error();
    assert_eq!(error["kind"], "not_found");
    assert_eq!(error["context"][0]["path"], "missing.txt");
}

#[test]
fn standard_input_is_saved_under_the_name_it_is_given() {
    let sandbox = Sandbox::new();
    let id = sandbox.put("ada", "notes.txt", b"from a pipe");
    assert_eq!(sandbox.storage(&["get", &id, "--user", "ada"]).succeeded().stdout, b"from a pipe");
    sandbox.storage_reading(&["put", "-", "--user", "ada"], b"x").ended(2).tells(&["--name"]);
}

#[test]
fn a_digest_that_does_not_match_saves_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("a.txt", "a");
    let digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
    sandbox.storage(&["put", "a.txt", "--user", "ada", "--sha256", digest]).succeeded();
    sandbox.storage(&["put", "a.txt", "--user", "ada", "--sha256", &"0".repeat(64)]).ended(8);
    sandbox
        .storage(&["put", "a.txt", "--user", "ada", "--sha256", "abc"])
        .ended(2)
        .tells(&["64 hexadecimal"]);
    let listed = sandbox.storage(&["ls", "--user", "ada", "--json"]).json();
    assert_eq!(listed.as_array().expect("a list").len(), 1);
}

#[test]
fn a_listing_is_a_table_whose_columns_line_up() {
    let sandbox = Sandbox::new();
    sandbox.put("ada", "a.txt", b"abc");
    sandbox.put("ada", "long name.txt", &[b'x'; 2048]);
    let run = sandbox.storage(&["ls", "--user", "ada"]).succeeded().silently();
    let lines: Vec<_> = run.text().lines().collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    let column = lines[0].find("NAME").expect("a header");
    assert_eq!((&lines[1][column..], &lines[2][column..]), ("a.txt", "long name.txt"));
    let end = lines[0].find("SIZE").expect("a header") + "SIZE".len();
    assert!(lines[1][..end].ends_with(" 3 B") && lines[2][..end].ends_with("2.00 KiB"), "{lines:#?}");
}

#[test]
fn a_listing_is_sorted_turned_around_limited_and_filtered() {
    let sandbox = Sandbox::new();
    for (name, size) in [("b.txt", 1), ("a.txt", 3), ("c.pdf", 2)] {
        sandbox.put("ada", name, &vec![b'x'; size]);
    }
    let names = |arguments: &[&str]| -> Vec<String> {
        let arguments = [&["ls", "--user", "ada", "--json"], arguments].concat();
        let listed = sandbox.storage(&arguments).succeeded().json();
        let name = |file: &Value| file["filename"].as_str().expect("a name").to_owned();
        listed.as_array().expect("a list").iter().map(name).collect()
    };
    assert_eq!(names(&[]), ["b.txt", "a.txt", "c.pdf"]);
    assert_eq!(names(&["--reverse"]), ["c.pdf", "a.txt", "b.txt"]);
    assert_eq!(names(&["--sort", "name"]), ["a.txt", "b.txt", "c.pdf"]);
    assert_eq!(names(&["--sort", "size", "--limit", "2"]), ["b.txt", "c.pdf"]);
    sandbox.storage(&["ls", "--user", "ada", "--limit", "0"]).ended(2).tells(&["a whole number from 1 on"]);
    assert_eq!(names(&["c."]), ["c.pdf"]);
    assert_eq!(names(&["z"]), [""; 0]);
    sandbox.storage(&["ls", "z", "--user", "ada"]).succeeded().tells(&["no file of ada", "\"z\""]);
    sandbox.storage(&["ls", "--user", "ada", "--sort", "colour"]).ended(2).tells(&["created", "size"]);
}

#[test]
fn another_user_finds_nothing() {
    let sandbox = Sandbox::new();
    let id = sandbox.put("ada", "a.txt", b"secret");
    for arguments in
        [vec!["get", &id], vec!["rm", &id], vec!["url", &id], vec!["cp", &id], vec!["versions", &id]]
    {
        let run = sandbox.storage(&[&arguments[..], &["--user", "eve"]].concat()).ended(3);
        assert_eq!(run.text(), "", "{arguments:?}");
    }
    assert_eq!(sandbox.storage(&["ls", "--user", "eve", "--json"]).json(), Value::Array(Vec::new()));
    assert_eq!(sandbox.storage(&["get", &id, "--user", "ada"]).stdout, b"secret");
}

#[test]
fn deleting_goes_on_after_a_file_that_is_not_there() {
    let sandbox = Sandbox::new();
    let (first, second) = (sandbox.put("ada", "a", b"a"), sandbox.put("ada", "b", b"b"));
    sandbox.storage(&["rm", &first, "--user", "ada"]).succeeded().silently();
    let run = sandbox.storage(&["rm", &first, &second, "--user", "ada", "--json"]).ended(3);
    assert_eq!(run.json()["deleted"], serde_json::json!([second]));
    assert_eq!(run.json_error()["context"][0]["file"], first);
    assert_eq!(sandbox.storage(&["ls", "--user", "ada", "--json"]).json(), Value::Array(Vec::new()));
}

#[test]
fn a_copy_is_a_file_of_its_own() {
    let sandbox = Sandbox::new();
    let id = sandbox.put("ada", "a.txt", b"abc");
    let copy = sandbox.storage(&["cp", &id, "--user", "ada", "--name", "b.txt"]).succeeded().line();
    sandbox.storage(&["rm", &id, "--user", "ada"]).succeeded();
    assert_eq!(sandbox.storage(&["get", &copy, "--user", "ada"]).succeeded().stdout, b"abc");
    let listed = sandbox.storage(&["ls", "--user", "ada", "--json"]).json();
    assert_eq!(listed[0]["filename"], "b.txt");
}

#[test]
fn versions_are_listed_read_restored_and_deleted() {
    let sandbox = Sandbox::new();
    sandbox.write("new.txt", "second");
    let id = sandbox.put("ada", "a.txt", b"first");
    let user = ["--user", "ada"];
    let storage = |arguments: &[&str]| sandbox.storage(&[arguments, &user].concat()).succeeded();
    storage(&["put", "new.txt", "--replace", &id]);
    let versions = storage(&["versions", &id, "--json"]).json();
    assert_eq!((&versions[0]["version_number"], &versions[0]["is_current"]), (&2.into(), &true.into()));
    let first = versions[1]["version"].as_str().expect("an id").to_owned();
    assert_eq!(storage(&["get", &id]).stdout, b"second");
    assert_eq!(storage(&["get", &id, "--version", &first]).stdout, b"first");

    let table = storage(&["versions", &id]);
    let lines: Vec<_> = table.text().lines().collect();
    assert!(lines[1].ends_with("current") && !lines[2].ends_with("current"), "{lines:#?}");

    let restored = storage(&["versions", &id, "--restore", &first]).line();
    assert_ne!(restored, first, "what is restored is a version of its own");
    assert_eq!(storage(&["get", &id]).stdout, b"first");
    storage(&["rm", &id, "--version", &first]);
    assert_eq!(storage(&["versions", &id, "--json"]).json().as_array().expect("a list").len(), 2);
    sandbox.storage(&["rm", &id, "--version", &restored, "--user", "ada"]).ended(2);
    sandbox.storage(&["rm", &id, "--version", &first, "--user", "ada"]).ended(3).tells(&["no such version"]);
}

#[test]
fn a_link_that_nobody_answers_comes_with_a_hint() {
    let sandbox = Sandbox::new();
    let id = sandbox.put("ada", "a.txt", b"abc");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let link = || {
        let mut command = sandbox.command(&["url", &id, "--user", "ada", "--expires", "2h"]);
        crate::sandbox::run(command.env("STORAGE_BIND", address.to_string())).succeeded()
    };
    let run = link().tells(&["anybody", "until"]);
    assert!(run.line().starts_with(&format!("http://{address}/v1/links/")), "{}", run.text());
    assert!(!run.stderr.contains("storage serve"), "somebody listens: {}", run.stderr);
    drop(listener);
    link().tells(&["nothing listens", "storage serve"]);
    let run = sandbox.storage(&["url", &id, "--user", "ada", "--json"]).succeeded().silently();
    assert!(run.json()["url"].is_string() && run.json()["expires_at"].is_string());
    sandbox.storage(&["url", &id, "--user", "ada", "--expires", "30days"]).ended(2).tells(&["604800"]);
}
