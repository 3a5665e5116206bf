//! `storage serve`: from its start to its end, with commands beside it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Child;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::{Run, Sandbox, spawn};

/// A service that runs. It is killed where a test fails before its end.
pub(crate) struct Service {
    child: Child,
    pub(crate) address: SocketAddr,
    log: JoinHandle<String>,
}

impl Service {
    pub(crate) fn start(sandbox: &Sandbox, environment: &[(&str, &str)]) -> Self {
        let mut command = sandbox.command(&["serve", "--bind", "127.0.0.1:0"]);
        let mut child = spawn(command.envs(environment.iter().copied()));
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (told, address) = mpsc::channel();
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            for line in stderr.lines() {
                let line = line.expect("text");
                if let Some((_, rest)) = line.split_once("listening on http://") {
                    let end = rest.find([' ', '"']).unwrap_or(rest.len());
                    told.send(rest[..end].parse().expect("an address")).ok();
                }
                log.push_str(&line);
                log.push('\n');
            }
            log
        });
        match address.recv_timeout(Duration::from_secs(60)) {
            Ok(address) => Self { child, address, log },
            Err(_) => {
                child.kill().ok();
                panic!("the service does not listen:\n{}", log.join().expect("no panic"));
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("sent");
    }

    /// Ends it, and gives its log.
    pub(crate) fn log_to_its_end(self) -> String {
        self.signal(Signal::TERM);
        self.ended().1
    }

    /// Waits for its end: the exit code, and the log.
    fn ended(mut self) -> (i32, String) {
        let status = self.child.wait().expect("it ends");
        let log = std::mem::replace(&mut self.log, std::thread::spawn(String::new));
        (status.code().unwrap_or(-1), log.join().expect("no panic"))
    }

    /// One request on a connection of its own: the whole answer.
    pub(crate) fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("connected");
        stream.write_all(request.as_bytes()).expect("sent");
        answer(stream)
    }

    fn get(&self, path: &str, headers: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: storage\r\nConnection: close\r\n{headers}\r\n"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Mostly it ended before.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn answer(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn the_service_answers_and_ends_at_a_signal() {
    let sandbox = Sandbox::new();
    for signal in [Signal::TERM, Signal::INT] {
        let service = Service::start(&sandbox, &[]);
        assert!(service.get("/health/live", "").starts_with("HTTP/1.1 200"));
        assert!(service.get("/health/ready", "").starts_with("HTTP/1.1 200"));
        service.signal(signal);
        let (code, log) = service.ended();
        assert_eq!(code, 0, "{log}");
        assert!(log.contains("/docs") && log.contains("storage keys create NAME"), "{log}");
    }
}

#[test]
fn a_disk_that_is_nearly_full_is_warned_of_and_the_service_is_ready_all_the_same() {
    let sandbox = Sandbox::new();
    let service = Service::start(&sandbox, &[("LOCAL_MIN_FREE", "1000PiB")]);
    assert!(service.get("/health/ready", "").starts_with("HTTP/1.1 200"));
    let report = service.get("/health/storage", "");
    assert!(report.starts_with("HTTP/1.1 503") && report.contains("\"healthy\":false"), "{report}");
}

#[test]
fn a_request_under_way_is_finished_before_the_end() {
    let sandbox = Sandbox::new();
    let key = sandbox.storage(&["keys", "create", "test"]).succeeded().line();
    let service = Service::start(&sandbox, &[]);
    let mut upload = TcpStream::connect(service.address).expect("connected");
    let head = format!(
        "POST /v1/files?filename=a.txt HTTP/1.1\r\nHost: storage\r\nConnection: close\r\nContent-Length: 10\r\n\
         Authorization: Bearer {key}\r\nX-User-Id: ada\r\n\r\n01234"
    );
    upload.write_all(head.as_bytes()).expect("sent");
    // The answer to a later request shows that the earlier one was taken: the service reads as it accepts.
    assert!(service.get("/health/live", "").starts_with("HTTP/1.1 200"));
    service.signal(Signal::TERM);
    while TcpStream::connect(service.address).is_ok() {
        std::thread::yield_now();
    }
    upload.write_all(b"56789").expect("sent");
    let answer = answer(upload);
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let (code, log) = service.ended();
    assert_eq!(code, 0, "{log}");
    let listed = sandbox.storage(&["ls", "--user", "ada", "--json"]).succeeded().json();
    assert_eq!(listed[0]["size_bytes"], 10);
}

#[test]
fn a_second_signal_does_not_wait_for_requests() {
    let sandbox = Sandbox::new();
    let key = sandbox.storage(&["keys", "create", "test"]).succeeded().line();
    let service = Service::start(&sandbox, &[]);
    let mut upload = TcpStream::connect(service.address).expect("connected");
    let head = format!(
        "POST /v1/files?filename=a.txt HTTP/1.1\r\nHost: storage\r\nContent-Length: 10\r\n\
         Authorization: Bearer {key}\r\nX-User-Id: ada\r\n\r\n01234"
    );
    upload.write_all(head.as_bytes()).expect("sent");
    assert!(service.get("/health/live", "").starts_with("HTTP/1.1 200"));
    service.signal(Signal::INT);
    while TcpStream::connect(service.address).is_ok() {
        std::thread::yield_now();
    }
    service.signal(Signal::INT);
    assert_eq!(service.ended().0, 130);
    sandbox.storage(&["catalog", "fsck", "--age", "0s", "--repair"]).succeeded();
    let usage = sandbox.storage(&["usage", "--user", "ada", "--json"]).succeeded().json();
    assert_eq!(usage["bytes"], 0);
}

#[test]
fn a_port_that_is_taken_is_told_with_what_to_do() {
    let sandbox = Sandbox::new();
    let service = Service::start(&sandbox, &[]);
    let address = service.address.to_string();
    let second = sandbox.storage(&["serve", "--bind", &address]).ended(4);
    second.tells(&[&address, "in use", "next step:", "STORAGE_BIND"]);
    sandbox.storage(&["serve", "--bind", "here"]).ended(4).tells(&["STORAGE_BIND", "here"]);
    assert!(service.get("/health/live", "").starts_with("HTTP/1.1 200"), "the first one goes on");
}

#[test]
fn commands_work_beside_a_running_service() {
    let sandbox = Sandbox::new();
    let service = Service::start(&sandbox, &[]);
    let key = sandbox.storage(&["keys", "create", "test"]).succeeded().line();
    let id = sandbox.put("ada", "a.txt", b"from the command line");
    let headers = format!("Authorization: Bearer {key}\r\nX-User-Id: ada\r\n");
    let content = format!("/v1/files/{id}/content");
    assert!(service.get(&content, &headers).ends_with("from the command line"));

    let request = format!(
        "POST /v1/files?filename=b.txt HTTP/1.1\r\nHost: storage\r\nConnection: close\r\nContent-Length: 3\r\n{headers}\r\nabc"
    );
    assert!(service.ask(&request).starts_with("HTTP/1.1 201"));
    let listed = sandbox.storage(&["ls", "--user", "ada", "--json"]).succeeded().json();
    assert_eq!(listed.as_array().expect("a list").len(), 2);

    // A link that the command line makes is answered by the service.
    let mut command = sandbox.command(&["url", &id, "--user", "ada"]);
    let url = crate::sandbox::run(command.env("STORAGE_BIND", service.address.to_string())).succeeded();
    assert!(!url.stderr.contains("nothing listens"), "{}", url.stderr);
    let path = url.line().split_once("/v1/").map(|(_, path)| format!("/v1/{path}")).expect("a link");
    assert!(service.get(&path, "").ends_with("from the command line"));

    sandbox.storage(&["catalog", "fsck"]).succeeded();
    service.signal(Signal::TERM);
    assert_eq!(service.ended().0, 0);
}

#[test]
fn a_log_for_machines_is_json_line_by_line() {
    let sandbox = Sandbox::new();
    let service = Service::start(&sandbox, &[("LOG_FORMAT", "json")]);
    service.signal(Signal::TERM);
    let (code, log) = service.ended();
    assert_eq!(code, 0);
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[test]
fn what_kill_leaves_behind_is_repaired() {
    let sandbox = Sandbox::new();
    let key = sandbox.storage(&["keys", "create", "test"]).succeeded().line();
    let service = Service::start(&sandbox, &[]);
    let saved = sandbox.put("ada", "saved.txt", b"acknowledged");
    let mut upload = TcpStream::connect(service.address).expect("connected");
    let head = format!(
        "POST /v1/files?filename=a.txt HTTP/1.1\r\nHost: storage\r\nContent-Length: 10\r\n\
         Authorization: Bearer {key}\r\nX-User-Id: ada\r\n\r\n01234"
    );
    upload.write_all(head.as_bytes()).expect("sent");
    assert!(service.get("/health/live", "").starts_with("HTTP/1.1 200"));
    service.signal(Signal::KILL);
    service.ended();
    sandbox.storage(&["catalog", "fsck", "--repair", "--age", "0s"]).succeeded();
    let run: Run = sandbox.storage(&["get", &saved, "--user", "ada"]);
    assert_eq!(run.succeeded().stdout, b"acknowledged");
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    let sandbox = Sandbox::new();
    let key = sandbox.storage(&["keys", "create", "test"]).succeeded().line();
    // The log cannot tell which port it is, so that one is chosen here: one that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("an address");
    let full = File::options().write(true).open("/dev/full").expect("the device");
    let mut command = sandbox.command(&["serve", "--bind", &address.to_string()]);
    let child = command.env("LOG_LEVEL", "trace").stderr(full).spawn().expect("it starts");
    let service = Service { child, address, log: std::thread::spawn(String::new) };
    while TcpStream::connect(address).is_err() {
        std::thread::yield_now();
    }
    for _ in 0..2 {
        let saved = service.ask(&format!(
            "POST /v1/files?filename=a.txt HTTP/1.1\r\nHost: storage\r\nConnection: close\r\nContent-Length: 2\r\n\
             Authorization: Bearer {key}\r\nX-User-Id: ada\r\n\r\nhi"
        ));
        assert!(saved.starts_with("HTTP/1.1 201"), "{saved}");
    }
    service.signal(Signal::TERM);
    assert_eq!(service.ended().0, 0);
}
