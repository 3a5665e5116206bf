//! A power cut, told by the order of system calls: for a save over HTTP the bytes and then their name are on the disk
//! before the catalog's record is, and that before the answer is written.
//!
//! The service runs under `strace`. What counts is the order in which calls *ended* and others *began*: a call that is
//! relied on must have ended before the one that relies on it begins.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Method};
use storage_conformance::fixture::Content;
use storage_tests::home::{Home, Serving};

/// Contents longer than this go to the disk while they are written.
const LONG_BYTES: u64 = 40 << 20;

/// One system call. Lines of the trace say where it began and where it ended.
#[derive(Clone, Debug)]
struct Call {
    name: String,
    /// The arguments, with descriptors as paths.
    arguments: String,
    began: usize,
    ended: usize,
}

impl Call {
    fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str())
    }
}

/// The calls of a trace (`strace -f -y`), in the order in which they began. Those that failed are left out.
fn calls(trace: &str) -> Vec<Call> {
    let mut under_way: HashMap<&str, Call> = HashMap::new();
    let mut calls = Vec::new();
    for (at, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some(mut call) = under_way.remove(thread) else { continue };
            call.ended = at;
            call.arguments.push_str(resumed);
            if succeeded(resumed) {
                calls.push(call);
            }
            continue;
        }
        let Some((name, arguments)) = rest.split_once('(') else { continue };
        let call = Call { name: name.to_owned(), arguments: arguments.to_owned(), began: at, ended: at };
        if rest.ends_with("<unfinished ...>") {
            under_way.insert(thread, call);
        } else if succeeded(rest) {
            calls.push(call);
        }
    }
    calls.sort_by_key(|call| call.began);
    calls
}

fn succeeded(line: &str) -> bool {
    line.rsplit_once(" = ").is_some_and(|(_, result)| !result.starts_with('-') && !result.starts_with('?'))
}

/// Checks that the trace of one save has every step, each begun when the former had ended.
fn check_order(trace: &str, store: &str, catalog: &str) -> Result<()> {
    let calls = calls(trace);
    let mut at = 0;
    let mut step = |what: &str, is: &dyn Fn(&Call) -> bool| -> Result<Call> {
        let next = calls.iter().filter(|call| call.began >= at).find(|call| is(call));
        let call = next.with_context(|| format!("after line {} of the trace there is no {what}", at + 1))?;
        at = call.ended + 1;
        Ok(call.clone())
    };
    const SYNC: [&str; 2] = ["fsync", "fdatasync"];
    const WRITE: [&str; 4] = ["write", "pwrite64", "writev", "pwritev"];
    const NAME: [&str; 7] = ["rename", "renameat", "renameat2", "link", "linkat", "unlinkat", "fsync"];
    let of = |call: &Call, path: &str| call.arguments.contains(path);

    let content =
        step("write of the content", &|call| call.is(&WRITE) && of(call, &format!("{store}/staging")))?;
    let staged =
        descriptor_path(&content.arguments).context("the content is written to a file with a path")?;
    // A long content is synced while it is written, too; what counts is the sync that begins behind its last write.
    let written = calls.iter().filter(|call| call.is(&WRITE) && of(call, &staged));
    let written = written.map(|call| call.ended).max().unwrap_or(content.ended);
    step("fsync of the whole content", &|call| call.is(&SYNC) && of(call, &staged) && call.began > written)?;
    let renamed = step("rename of the content", &|call| call.is(&NAME[..5]) && !call.is(&SYNC))?;
    step("fsync of the folder", &|call| call.is(&["fsync"]) && of(call, &format!("{store}/objects")))
        .with_context(|| format!("{renamed:?}"))?;
    // Every name that the save makes or replaces, not the first one alone, is followed by the sync of its folder.
    let committed = step("commit of the catalog", &|call| {
        call.is(&["write", "pwrite64"]) && of(call, &format!("{catalog}-wal>"))
    })?;
    let synced =
        step("fsync of the catalog's log", &|call| call.is(&SYNC) && of(call, &format!("{catalog}-wal>")))?;
    let answer = step("answer", &|call| {
        call.is(&["write", "writev", "sendto", "sendmsg"]) && call.arguments.contains("HTTP/1.1 201")
    })?;

    let first_answer = calls.iter().find(|call| call.arguments.contains("HTTP/1.1 201"));
    ensure!(
        first_answer.is_some_and(|first| first.began == answer.began),
        "an answer came early: {first_answer:?}"
    );
    for call in &calls {
        let is_name = call.is(&NAME[..5]) && of(call, store) && call.arguments.contains("objects");
        if is_name && call.began < committed.began {
            let is_synced = calls.iter().any(|sync| {
                sync.is(&["fsync"])
                    && sync.began > call.ended
                    && sync.ended < committed.began
                    && of(sync, &format!("{store}/objects"))
            });
            ensure!(is_synced, "no fsync of the folder follows {call:?} before the commit");
        }
        let is_content = call.is(&WRITE) && of(call, &format!("{store}/"));
        ensure!(!is_content || call.ended < committed.began, "content is written after the commit: {call:?}");
        let is_log = call.is(&["write", "pwrite64"]) && of(call, &format!("{catalog}-wal>"));
        ensure!(
            !is_log || call.began < committed.began || call.ended < synced.began || call.began > answer.ended,
            "the catalog is written between its fsync and the answer: {call:?}"
        );
    }
    Ok(())
}

/// Checks that a content was brought to the disk while more of it was still to be written.
fn check_early_sync(trace: &str, store: &str) -> Result<()> {
    let calls = calls(trace);
    let staging = format!("{store}/staging");
    let early = calls.iter().position(|call| call.name == "fdatasync" && call.arguments.contains(&staging));
    let early = early.context("the content is not synced")?;
    let sync = &calls[early];
    let staged = descriptor_path(&sync.arguments).context("a file with a path is synced")?;
    ensure!(
        calls[early..].iter().any(|call| call.name == "write" && call.arguments.contains(&staged)),
        "nothing is written behind the first {sync:?}"
    );
    Ok(())
}

/// The path in the first argument, as `-y` shows it: `5</path>`.
fn descriptor_path(arguments: &str) -> Option<String> {
    let (_, rest) = arguments.split_once('<')?;
    Some(rest.split_once('>')?.0.to_owned())
}

/// The service under `strace`, whose trace is written to a file. The tracer is the one that runs in the background: the
/// child that is started, and ended, is the service.
fn serve_traced(home: &Home, trace: &Path) -> Result<Serving> {
    let mut command = home.command(Path::new("strace"));
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.args([
        "--daemonize",
        "--follow-forks",
        "--decode-fds=path",
        "--string-limit=64",
        "--seccomp-bpf",
    ]);
    command.arg("--trace=write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync,rename,renameat,renameat2,link,linkat");
    command.arg("--output").arg(trace).arg(home.program());
    Serving::start(&mut command).context("`apt-get install strace` (or its like) provides it")
}

/// The trace of one save, from its first byte to its answer.
async fn trace_of_a_save(content: Content, as_stream: bool) -> Result<(Home, String)> {
    let home = Home::new(&[])?;
    let key = home.key()?;
    let file = home.folder().join("trace");
    let serving = serve_traced(&home, &file)?;
    let api = serving.api(&key)?;
    // Whatever is done once only, before the trace that counts begins.
    let warm = api.call("ada", Method::POST, "/v1/files?filename=warm.bin").body("warm");
    ensure!(api.send(warm).await?.0 == 201, "the first save");
    let before = std::fs::read_to_string(&file)?.len();
    let request = api.call("ada", Method::POST, "/v1/files?filename=a.bin");
    let request = if as_stream {
        let starts = (0..content.size_bytes).step_by(100_000);
        let chunks = starts.map(move |start| {
            Ok::<Bytes, std::io::Error>(content.slice(start..content.size_bytes.min(start + 100_000)))
        });
        request.body(Body::wrap_stream(stream::iter(chunks)))
    } else {
        request.body(content.bytes())
    };
    let (status, answer) = api.send(request).await?;
    ensure!(status == 201, "{status}: {answer}");
    serving.stop()?;
    let trace = std::fs::read_to_string(&file)?;
    // The end of the first save is no part of the second one.
    let trace = trace.get(before..).context("the trace only grows")?;
    let start = trace.find('\n').map_or(0, |end| end + 1);
    Ok((home, trace[start..].to_owned()))
}

async fn check(content: Content, as_stream: bool) -> Result<()> {
    let (home, trace) = trace_of_a_save(content, as_stream).await?;
    let folder = home.folder().canonicalize()?;
    let path = |name: &str| folder.join(name).display().to_string();
    let store = path("store");
    let mut checked = check_order(&trace, &store, &path("catalog/catalog.db"));
    if content.size_bytes > LONG_BYTES {
        checked = checked.and_then(|()| check_early_sync(&trace, &store));
    }
    checked.with_context(|| format!("the trace:\n{trace}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_save_is_on_the_disk_bytes_first_name_next_record_last_before_it_is_answered() -> Result<()> {
    check(Content::new(1, 4_096), false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_save_is_on_the_disk_bytes_first_name_next_record_last_before_it_is_answered() -> Result<()>
{
    check(Content::new(2, 3_000_000), true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_save_goes_to_the_disk_while_it_arrives_and_is_there_whole_before_it_has_its_name()
-> Result<()> {
    check(Content::new(3, LONG_BYTES + 5_000_000), true).await
}
