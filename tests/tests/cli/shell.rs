//! How the program behaves in a shell: help, completions, exit codes, JSON.

use serde_json::Value;

use crate::sandbox::Sandbox;

#[test]
fn help_needs_no_configuration_and_documents_the_exit_codes() {
    let sandbox = Sandbox::empty();
    let help = sandbox.storage(&["--help"]).succeeded().silently();
    for text in ["Exit codes:", "3  not found", "6  no room", "130  interrupted", "serve", "completions"] {
        assert!(help.text().contains(text), "{text} in {}", help.text());
    }
    for command in ["put", "get", "ls", "rm", "url", "cp", "versions", "usage", "test", "serve"] {
        sandbox.storage(&[command, "--help"]).succeeded().silently();
    }
    assert!(sandbox.storage(&["--version"]).succeeded().text().starts_with("storage "));
    sandbox.storage(&[]).ended(2).tells(&["Usage:"]);
}

#[test]
fn wrong_arguments_say_what_would_be_right() {
    let sandbox = Sandbox::empty();
    sandbox.storage(&["lst"]).ended(2).tells(&["ls"]);
    sandbox.storage(&["ls"]).ended(2).tells(&["--user"]);
    sandbox.storage(&["ls", "--user", "a b"]).ended(2).tells(&["a user id is"]);
    sandbox.storage(&["get", "42", "--user", "ada"]).ended(2).tells(&["UUID"]);
    sandbox.storage(&["put", "x", "--user", "ada", "--meta", "novalue"]).ended(2).tells(&["NAME=VALUE"]);
}

#[test]
fn wrong_arguments_are_json_where_json_was_asked_for() {
    let sandbox = Sandbox::empty();
    for arguments in
        [&["lst", "--json"][..], &["--json"], &["ls", "--json"], &["get", "42", "-u", "a", "--json"]]
    {
        let run = sandbox.storage(arguments).ended(2);
        assert_eq!(run.text(), "");
        let error = run.json_error();
        assert_eq!(error["kind"], "invalid_argument");
        let message = error["message"].as_str().expect("a message");
        assert!(!message.is_empty() && !message.contains('\n') && !message.starts_with("error"), "{message}");
    }
}

#[test]
fn every_answer_is_json_where_json_was_asked_for() {
    let sandbox = Sandbox::new();
    let id = sandbox.put("ada", "a.txt", b"abc");
    sandbox.write("b.txt", "b");
    for command in [
        "put b.txt -u ada",
        "ls -u ada",
        "ls nothing -u ada",
        "cp ID -u ada",
        "url ID -u ada",
        "versions ID -u ada",
        "usage -u ada",
        "plugins list",
        "backends list",
        "backends test",
        "backends call local",
        "backends call local prune",
        "test",
        "catalog fsck",
        "catalog rebuild",
        "catalog audit",
        "catalog audit -u nobody",
        "config show",
        "config check",
        "keys list",
        "keys create name",
        "keys revoke name",
        "keys rotate-links",
        "get ID -u ada -o c.txt",
        "rm ID -u ada",
    ] {
        let mut arguments: Vec<_> =
            command.split(' ').map(|word| if word == "ID" { id.as_str() } else { word }).collect();
        arguments.push("--json");
        let run = sandbox.storage(&arguments).succeeded().silently();
        assert!(matches!(run.json(), Value::Object(_) | Value::Array(_)), "{command}: {}", run.text());
    }
}

#[test]
fn completions_are_there_for_the_usual_shells() {
    let sandbox = Sandbox::empty();
    for (shell, sign) in
        [("bash", "complete -F _storage"), ("zsh", "#compdef storage"), ("fish", "complete -c storage")]
    {
        let run = sandbox.storage(&["completions", shell]).succeeded().silently();
        assert!(run.text().contains(sign) && run.text().contains("versions"), "{shell}");
    }
    sandbox.storage(&["completions", "cmd"]).ended(2).tells(&["bash"]);
}

#[test]
fn the_completions_for_bash_complete() {
    let sandbox = Sandbox::empty();
    let script = sandbox.storage(&["completions", "bash"]).succeeded();
    sandbox.write("completions", &script.stdout);
    let complete = "source ./completions; COMP_WORDS=(storage pl); COMP_CWORD=1; _storage storage pl storage; echo \"${COMPREPLY[@]}\"";
    let mut bash = sandbox.program("bash".as_ref());
    let run = crate::sandbox::run(bash.args(["--norc", "-c", complete]));
    assert_eq!(run.succeeded().text(), "plugins\n");
}
