//! The example programs, which embed the service, against the real plugin.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

use storage_tests::plugins::program_path;

use crate::sandbox::{Run, Sandbox, run, spawn};

#[test]
fn the_job_renders_a_resume_and_saves_a_real_pdf() {
    let sandbox = Sandbox::new();
    let mut job = sandbox.program(&program_path("examples/render_resume"));
    let run = run(job.args(["--user", "42", "--job", "123", "Ada Lovelace"])).succeeded();
    assert!(run.text().contains("saved resume_123.pdf as "), "{}", run.text());
    let listed = sandbox.storage(&["ls", "--user", "42", "--json"]).succeeded().json();
    assert_eq!(listed[0]["filename"], "resume_123.pdf");
    assert_eq!(listed[0]["content_type"], "application/pdf");
    assert_eq!(listed[0]["metadata"]["job_id"], "123");
    let id = listed[0]["id"].as_str().expect("an id");
    let pdf = sandbox.storage(&["get", id, "--user", "42"]).succeeded().stdout;
    assert!(pdf.starts_with(b"%PDF-"));
    let document = lopdf::Document::load_mem(&pdf).expect("a PDF that opens");
    assert_eq!(document.get_pages().len(), 1);
    let text = document.extract_text(&[1]).expect("a page with text");
    assert!(text.contains("Ada Lovelace") && text.contains("123"), "{text}");
}

/// The application, killed where a test fails before its end.
struct App {
    child: Child,
    address: SocketAddr,
}

impl App {
    fn start(sandbox: &Sandbox) -> Self {
        let mut command = sandbox.program(&program_path("examples/upload_app"));
        let mut child = spawn(command.arg("127.0.0.1:0"));
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("text");
        let Some(address) = line.trim().strip_prefix("listening on http://") else {
            child.kill().ok();
            let ended = Run::from(child.wait_with_output().expect("it ends"));
            panic!("the application does not listen: {line} {}", ended.stderr);
        };
        Self { address: address.parse().expect("an address"), child }
    }

    /// One request: the status and the body of the answer.
    fn ask(&self, request: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).expect("connected");
        let length = body.len();
        write!(
            stream,
            "{request}\r\nHost: app\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        (head.split(' ').nth(1).expect("a status").parse().expect("a number"), body.to_owned())
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // Mostly it ended before.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn the_application_takes_uploads_and_gives_links_that_download_them() {
    let sandbox = Sandbox::new();
    let mut app = App::start(&sandbox);
    let form = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"cv.txt\"\r\n\r\nof Ada\r\n--x--\r\n";
    let upload = "POST /upload HTTP/1.1\r\nX-User: 42\r\nContent-Type: multipart/form-data; boundary=x";
    let (status, answer) = app.ask(upload, form);
    assert_eq!(status, 201, "{answer}");
    let id = json(&answer)["file_id"].as_str().expect("an id").to_owned();

    let (status, answer) = app.ask(&format!("GET /download/{id} HTTP/1.1\r\nX-User: 42"), "");
    assert_eq!(status, 200, "{answer}");
    let url = json(&answer)["download_url"].as_str().expect("a link").to_owned();
    let path = url.strip_prefix(&format!("http://{}", app.address)).expect("a link to the application");
    assert_eq!(app.ask(&format!("GET {path} HTTP/1.1"), ""), (200, "of Ada".to_owned()));

    let (status, _) = app.ask(&format!("GET /download/{id} HTTP/1.1\r\nX-User: 43"), "");
    assert_eq!(status, 404, "another user's file looks like none");
    let (status, _) = app.ask(&format!("GET /download/{id} HTTP/1.1"), "");
    assert_eq!(status, 401);

    kill_process(Pid::from_child(&app.child), Signal::INT).expect("sent");
    assert!(app.child.wait().expect("it ends").success());
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}
