//! Content on its way: to files, through pipes, with and without an end.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::{Run, Sandbox, run, spawn};

/// Well above what is shown with a bar in a terminal.
const LARGE_BYTES: usize = 20 * 1024 * 1024;

fn large() -> Vec<u8> {
    (0..LARGE_BYTES).map(|index| (index / 251) as u8).collect()
}

#[test]
fn a_large_file_goes_there_and_back_without_a_word_outside_a_terminal() {
    let sandbox = Sandbox::new();
    sandbox.storage(&["ls", "--user", "ada"]).succeeded();
    sandbox.write("large.bin", large());
    let id = sandbox.storage(&["put", "large.bin", "--user", "ada"]).succeeded().silently().line();
    let run = sandbox.storage(&["get", &id, "--user", "ada"]).succeeded().silently();
    assert!(run.stdout == large(), "other bytes came back");
}

#[test]
fn a_file_is_written_where_it_is_wanted() {
    let sandbox = Sandbox::new();
    let id = sandbox.put("ada", "cv.pdf", b"new");
    fs::create_dir(sandbox.path("folder")).expect("a folder");
    let get = |arguments: &[&str]| sandbox.storage(&[&["get", &id, "--user", "ada"], arguments].concat());
    get(&["-o", "mine.pdf"]).succeeded().tells(&["wrote mine.pdf (3 B)"]);
    get(&["-o", "folder"]).succeeded();
    assert_eq!((sandbox.read("mine.pdf"), sandbox.read("folder/cv.pdf")), (b"new".to_vec(), b"new".to_vec()));
    assert_eq!(sandbox.names("folder"), ["cv.pdf"]);

    // A name that the caller gave is replaced; one that came with the file replaces nothing.
    sandbox.write("mine.pdf", "old");
    get(&["-o", "mine.pdf", "-q"]).succeeded().silently();
    assert_eq!(sandbox.read("mine.pdf"), b"new");
    sandbox.write("folder/cv.pdf", "old");
    get(&["-o", "folder"]).ended(1).tells(&["there already", "-o folder/cv.pdf"]);
    assert_eq!(sandbox.read("folder/cv.pdf"), b"old");

    let json = get(&["-o", "mine.pdf", "--json"]).succeeded().silently().json();
    assert_eq!((&json["path"], &json["bytes"]), (&"mine.pdf".into(), &3.into()));
    get(&["-o", "nowhere/mine.pdf"]).ended(1).tells(&["nowhere/mine.pdf"]);
}

#[test]
fn links_and_devices_are_written_to_and_never_replaced() {
    let sandbox = Sandbox::new();
    let id = sandbox.put("ada", "a.txt", b"new");
    sandbox.write("real.txt", "old");
    std::os::unix::fs::symlink("real.txt", sandbox.path("link.txt")).expect("a link");
    sandbox.storage(&["get", &id, "--user", "ada", "-o", "link.txt"]).succeeded();
    assert_eq!(sandbox.read("real.txt"), b"new");
    assert!(sandbox.path("link.txt").is_symlink());
    sandbox.storage(&["get", &id, "--user", "ada", "-o", "/dev/null"]).succeeded();
    assert!(!fs::metadata("/dev/null").expect("there").is_file());
}

#[test]
fn ranges_are_those_of_http() {
    let sandbox = Sandbox::new();
    let id = sandbox.put("ada", "a.txt", b"0123456789");
    let range = |range| sandbox.storage(&["get", &id, "--user", "ada", "--range", range]);
    assert_eq!(range("0-3").succeeded().stdout, b"0123");
    assert_eq!(range("7-").succeeded().stdout, b"789");
    assert_eq!(range("-2").succeeded().stdout, b"89");
    range("10-").ended(2).tells(&["size bytes: 10"]);
    range("x").ended(2).tells(&["0-99"]);
}

#[test]
fn damaged_content_never_reaches_the_target() {
    let sandbox = Sandbox::new();
    let content = large();
    let id = sandbox.put("ada", "a.bin", &content);
    let mut damaged = content;
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let object = walk(&sandbox.path("storage"))
        .into_iter()
        .find(|path| fs::metadata(path).is_ok_and(|meta| meta.len() == damaged.len() as u64))
        .expect("the object lies on the disk");
    fs::write(object, &damaged).expect("written");
    sandbox.write("target.bin", "what was there");
    sandbox.storage(&["get", &id, "--user", "ada", "-o", "target.bin"]).ended(8);
    assert_eq!(sandbox.read("target.bin"), b"what was there");
    assert!(!sandbox.names(".").iter().any(|name| name.ends_with(".partial")), "{:?}", sandbox.names("."));
}

/// Every file below a folder.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("listed").map(|entry| entry.expect("listed").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn a_reader_who_leaves_early_is_no_failure() {
    let sandbox = Sandbox::new();
    let id = sandbox.put("ada", "a.bin", &large());
    for arguments in [&["get", &id, "--user", "ada"][..], &["completions", "bash"], &["ls", "--user", "ada"]]
    {
        let mut child = spawn(&mut sandbox.command(arguments));
        let mut stdout = child.stdout.take().expect("piped");
        stdout.read_exact(&mut [0; 4]).expect("the beginning");
        drop(stdout);
        Run::from(child.wait_with_output().expect("the program ends")).succeeded().silently();
    }
}

#[test]
fn an_output_that_takes_nothing_is_a_failure() {
    let sandbox = Sandbox::new();
    let id = sandbox.put("ada", "a.txt", b"abc");
    for arguments in [&["get", &id, "--user", "ada"][..], &["ls", "--user", "ada"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
        run_into(&sandbox, arguments, full.into()).ended(6).tells(&["standard output"]);
    }
}

fn run_into(sandbox: &Sandbox, arguments: &[&str], stdout: Stdio) -> Run {
    let mut command = sandbox.command(arguments);
    let child = command.stdout(stdout).stderr(Stdio::piped()).spawn().expect("started");
    Run::from(child.wait_with_output().expect("the program ends"))
}

#[test]
fn an_interrupted_save_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    sandbox.storage(&["ls", "--user", "ada"]).succeeded();
    let mut command = sandbox.command(&["put", "-", "--name", "a.bin", "--user", "ada"]);
    let mut child = spawn(command.stdin(Stdio::piped()));
    let mut stdin = child.stdin.take().expect("piped");
    // More than pipe and buffers hold: when it is written, the save is under way.
    stdin.write_all(&large()).expect("taken");
    kill_process(Pid::from_child(&child), Signal::INT).expect("sent");
    let ended = Run::from(child.wait_with_output().expect("the program ends"));
    ended.ended(130).tells(&["interrupted"]);
    drop(stdin);
    let usage = sandbox.storage(&["usage", "--user", "ada", "--json"]).succeeded().json();
    assert_eq!((&usage["files"], &usage["reserved_bytes"]), (&0.into(), &0.into()), "{usage}");
    sandbox.storage(&["catalog", "fsck", "--age", "0s"]).succeeded();
    assert!(
        walk(&sandbox.path("storage"))
            .iter()
            .all(|path| { fs::metadata(path).is_ok_and(|meta| meta.len() < 1024) })
    );
}

#[test]
fn a_save_that_fails_does_not_wait_for_the_rest_of_its_input() {
    let sandbox = Sandbox::new();
    sandbox.storage(&["usage", "--user", "ada", "--max-bytes", "1MiB"]).succeeded();
    let mut command = sandbox.command(&["put", "-", "--name", "a.bin", "--user", "ada"]);
    let mut child = spawn(command.stdin(Stdio::piped()));
    let mut stdin = child.stdin.take().expect("piped");
    // Nobody reads what is too much.
    let _ = stdin.write_all(&large());
    let ended = Run::from(child.wait_with_output().expect("the program ends"));
    drop(stdin);
    ended.ended(6).tells(&["quota"]);
}

#[test]
fn a_name_of_any_length_and_script_comes_back() {
    let sandbox = Sandbox::new();
    let name = format!("Lebenslauf von Ada 📄 {}.pdf", "ä".repeat(100));
    let id = sandbox.put("ada", &name, b"abc");
    fs::create_dir(sandbox.path("folder")).expect("a folder");
    sandbox.storage(&["get", &id, "--user", "ada", "-o", "folder"]).succeeded();
    assert_eq!(sandbox.names("folder"), [name]);
    let run = run(&mut sandbox.command(&["put", "-", "--name", "a\nb", "--user", "ada"]));
    run.ended(2).tells(&["a\\nb"]);
}
