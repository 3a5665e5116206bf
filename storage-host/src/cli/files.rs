//! `storage put | get | ls | rm | url | cp`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use serde_json::json;
use storage_core::{ByteRange, ByteStream, Error, ErrorKind, Tier};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_util::io::ReaderStream;

use super::context::Context;
use super::output::{moment, size, table};
use super::progress;
use crate::catalog::{FileId, FileQuery, FileVersionId, SortBy, UserId};
use crate::service::{
    CopyFileOptions, FileContent, FileInfo, LinkOptions, RetrieveFileOptions, SaveFileOptions,
    SimpleStorageService,
};

/// Reads and writes of local files are of this size.
const BUFFER_BYTES: usize = 512 * 1024;

/// Saves files and prints their ids, one per line.
#[derive(Debug, Args)]
pub(super) struct Put {
    /// The files; - is standard input, which needs --name
    #[arg(required = true, value_name = "FILE")]
    paths: Vec<PathBuf>,
    /// Whose files they are
    #[arg(long, short)]
    user: UserId,
    /// The name to save under, in place of the file's own
    #[arg(long)]
    name: Option<String>,
    /// The content type, in place of the one that is detected
    #[arg(long = "type", value_name = "TYPE")]
    content_type: Option<String>,
    /// Metadata, any number of times
    #[arg(long = "meta", value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Tags, any number of times
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = pair)]
    tags: Vec<(String, String)>,
    /// The SHA-256 that the content must have, in hexadecimal
    #[arg(long, value_parser = sha256)]
    sha256: Option<[u8; 32]>,
    /// Saves a new version of this file
    #[arg(long, value_name = "ID")]
    replace: Option<FileId>,
    /// The tier to store in: hot, warm, cold or glacier
    #[arg(long)]
    tier: Option<Tier>,
}

impl Put {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        if self.paths.len() > 1 && (self.name.is_some() || self.replace.is_some() || self.sha256.is_some()) {
            return Err(usage("--name, --replace and --sha256 go with one file"));
        }
        let service = context.service().await?;
        let mut saved = Vec::new();
        for path in &self.paths {
            let info = self.put(path, &service, context).await?;
            if !context.output.json {
                context.output.line(&info.id.to_string())?;
            }
            saved.push(FileLine::of(&info));
        }
        service.close().await?;
        if context.output.json {
            context.output.line(&serde_json::to_string_pretty(&saved)?)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn put(
        &self,
        path: &Path,
        service: &SimpleStorageService,
        context: &Context,
    ) -> anyhow::Result<FileInfo> {
        let is_stdin = path == Path::new("-");
        let own_name = path.file_name().filter(|_| !is_stdin).map(|name| name.to_string_lossy().into_owned());
        let Some(name) = self.name.clone().or(own_name) else {
            return Err(usage("say how the file is called: --name resume.pdf"));
        };
        let body = if is_stdin {
            upload(tokio::io::stdin(), None, &name, context)
        } else {
            let read = || format!("{} cannot be read", path.display());
            let file = File::open(path).await.with_context(read)?;
            let described = file.metadata().await.with_context(read)?;
            if described.is_dir() {
                bail!("{} is a directory; name the files in it", path.display());
            }
            // A pipe or device has no length that could be declared.
            upload(file, described.is_file().then_some(described.len()), &name, context)
        };
        let options = SaveFileOptions {
            metadata: self.metadata.iter().cloned().collect(),
            tags: self.tags.iter().cloned().collect(),
            content_type: self.content_type.clone(),
            sha256: self.sha256,
            replace: self.replace,
            tier: self.tier,
            ..SaveFileOptions::default()
        };
        Ok(service.save_with(body, &name, &self.user, options).await?)
    }
}

fn upload(
    reader: impl AsyncRead + Send + 'static,
    length_bytes: Option<u64>,
    name: &str,
    context: &Context,
) -> ByteStream {
    let unreadable =
        |error| Error::new(ErrorKind::InvalidArgument, "the source cannot be read").with_source(error);
    let chunks = ReaderStream::with_capacity(reader, BUFFER_BYTES).map_err(unreadable);
    progress::watched(chunks, length_bytes, progress::transfer(context.output, name, length_bytes))
}

/// Reads a file to standard output, or to a file.
#[derive(Debug, Args)]
pub(super) struct Get {
    /// The file
    id: FileId,
    /// Whose file it is
    #[arg(long, short)]
    user: UserId,
    /// Where to write it: a file, or a directory, where it gets its own name
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
    /// The version; the current one where absent
    #[arg(long, value_name = "VERSION-ID")]
    version: Option<FileVersionId>,
    /// Only these bytes: 0-99, 100- or -50
    #[arg(long, value_parser = byte_range, allow_hyphen_values = true)]
    range: Option<ByteRange>,
}

impl Get {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let service = context.service().await?;
        let options = RetrieveFileOptions {
            range: self.range,
            version: self.version,
            ..RetrieveFileOptions::default()
        };
        let content = service.retrieve_with(self.id, &self.user, options).await?;
        match self.output {
            Some(path) if path != Path::new("-") => download(content, &path, context).await?,
            named => {
                let is_text = content.info.content_type.starts_with("text/");
                if named.is_none() && !is_text && std::io::stdout().is_terminal() {
                    return Err(usage("this is no text for a terminal; say where to write it with -o"));
                }
                pour(content, tokio::io::stdout(), context).await?;
            }
        }
        service.close().await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes beside the target and renames, so that a file with the target's name is always a whole one.
async fn download(content: FileContent, path: &Path, context: &Context) -> anyhow::Result<()> {
    let target = if path.is_dir() { path.join(plain_name(&content.info.filename)) } else { path.to_owned() };
    let partial = {
        let mut name = target.clone().into_os_string();
        name.push(format!(".{}.partial", std::process::id()));
        PathBuf::from(name)
    };
    let write = || format!("{} cannot be written", target.display());
    let file = File::create_new(&partial).await.with_context(write)?;
    let poured = pour(content, file, context).await;
    let done = match poured {
        Ok(()) => tokio::fs::rename(&partial, &target).await.with_context(write),
        Err(error) => Err(error),
    };
    if done.is_err()
        && let Err(error) = tokio::fs::remove_file(&partial).await
    {
        context.output.remark(&format!("{} could not be removed: {error}", partial.display()));
    }
    done
}

async fn pour(
    content: FileContent,
    mut target: impl AsyncWrite + Unpin,
    context: &Context,
) -> anyhow::Result<()> {
    let length = content.range.end - content.range.start;
    let bar = progress::transfer(context.output, &content.info.filename, Some(length));
    let mut chunks = progress::watched(content.body, Some(length), bar);
    while let Some(chunk) = chunks.next().await.transpose()? {
        target.write_all(&chunk).await.context("the output cannot be written")?;
    }
    target.flush().await.context("the output cannot be written")
}

/// The name of a file without anything that would lead out of its directory.
fn plain_name(filename: &str) -> String {
    let last = filename.rsplit(['/', '\\']).next().unwrap_or_default();
    if matches!(last, "" | "." | "..") { "download".to_owned() } else { last.to_owned() }
}

/// Lists files.
#[derive(Debug, Args)]
pub(super) struct Ls {
    /// Only files whose name starts with this text
    #[arg(default_value = "")]
    prefix: String,
    /// Whose files
    #[arg(long, short)]
    user: UserId,
    /// The order
    #[arg(long, value_enum, default_value_t = Sort::Created)]
    sort: Sort,
    /// Turns the order around
    #[arg(long, short)]
    reverse: bool,
    /// How many files at most
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sort {
    Created,
    Updated,
    Name,
    Size,
}

impl Ls {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let service = context.service().await?;
        let mut query = FileQuery {
            filename_prefix: self.prefix,
            sort: match self.sort {
                Sort::Created => SortBy::CreatedAt,
                Sort::Updated => SortBy::UpdatedAt,
                Sort::Name => SortBy::Filename,
                Sort::Size => SortBy::Size,
            },
            descending: self.reverse,
            ..FileQuery::default()
        };
        let mut files = Vec::new();
        loop {
            let missing = self.limit - files.len() as u64;
            query.limit = u32::try_from(missing.min(1_000))?;
            if query.limit == 0 {
                break;
            }
            let page = service.list(&self.user, query.clone()).await?;
            files.extend(page.files.iter().map(FileLine::of));
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        service.close().await?;
        context.output.answer(&files, || {
            let row = |file: &FileLine| {
                [
                    file.id.clone(),
                    size(file.size_bytes),
                    file.updated_at.clone(),
                    file.content_type.clone(),
                    file.filename.clone(),
                ]
            };
            table(["ID", "SIZE", "UPDATED", "TYPE", "NAME"], files.iter().map(row))
        })
    }
}

/// Deletes files, or one version of a file.
#[derive(Debug, Args)]
pub(super) struct Rm {
    /// The files
    #[arg(required = true, value_name = "ID")]
    ids: Vec<FileId>,
    /// Whose files they are
    #[arg(long, short)]
    user: UserId,
    /// Deletes only this version of the one file
    #[arg(long, value_name = "VERSION-ID")]
    version: Option<FileVersionId>,
}

impl Rm {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        if self.version.is_some() && self.ids.len() > 1 {
            return Err(usage("--version goes with one file"));
        }
        let service = context.service().await?;
        let mut missing = Vec::new();
        for id in self.ids {
            let existed = match self.version {
                Some(version) => service.delete_version(id, &self.user, version).await?,
                None => service.delete(id, &self.user).await?,
            };
            if !existed {
                missing.push(id.to_string());
            }
        }
        service.close().await?;
        if missing.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        Err(Error::new(ErrorKind::NotFound, "the user has no such file")
            .with_context("file", missing.join(", "))
            .into())
    }
}

/// Makes a link with which anybody may download a file for a while.
#[derive(Debug, Args)]
pub(super) struct Url {
    /// The file
    id: FileId,
    /// Whose file it is
    #[arg(long, short)]
    user: UserId,
    /// How long the link works: 15m, 2h, 7days
    #[arg(long, value_parser = duration)]
    expires: Option<Duration>,
    /// The version; the current one where absent
    #[arg(long, value_name = "VERSION-ID")]
    version: Option<FileVersionId>,
    /// A browser shows the file instead of saving it
    #[arg(long)]
    inline: bool,
}

impl Url {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let service = context.service().await?;
        let options = LinkOptions { expires_in: self.expires, version: self.version, inline: self.inline };
        let link = service.get_download_url_with(self.id, &self.user, options).await?;
        service.close().await?;
        let value = json!({ "url": link.url, "expires_at": moment(link.expires_at) });
        context.output.answer(&value, || link.url.clone())
    }
}

/// Copies a file and prints the id of the copy.
#[derive(Debug, Args)]
pub(super) struct Cp {
    /// The file
    id: FileId,
    /// Whose file it is
    #[arg(long, short)]
    user: UserId,
    /// The name of the copy
    #[arg(long)]
    name: Option<String>,
    /// The version; the current one where absent
    #[arg(long, value_name = "VERSION-ID")]
    version: Option<FileVersionId>,
}

impl Cp {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let service = context.service().await?;
        let options = CopyFileOptions { version: self.version, filename: self.name, metadata: None };
        let copy = service.copy(self.id, &self.user, options).await?;
        service.close().await?;
        context.output.answer(&FileLine::of(&copy), || copy.id.to_string())
    }
}

/// A file as `--json` has it.
#[derive(Debug, Serialize)]
pub(super) struct FileLine {
    pub(super) id: String,
    pub(super) version: String,
    pub(super) version_number: u64,
    pub(super) is_current: bool,
    pub(super) filename: String,
    pub(super) content_type: String,
    pub(super) size_bytes: u64,
    pub(super) sha256: String,
    pub(super) metadata: std::collections::BTreeMap<String, String>,
    pub(super) created_at: String,
    pub(super) updated_at: String,
    pub(super) backend: String,
}

impl FileLine {
    pub(super) fn of(info: &FileInfo) -> Self {
        Self {
            id: info.id.to_string(),
            version: info.version.to_string(),
            version_number: info.version_number,
            is_current: info.is_current,
            filename: info.filename.clone(),
            content_type: info.content_type.clone(),
            size_bytes: info.size_bytes,
            sha256: hex::encode(info.sha256),
            metadata: info.metadata.clone(),
            created_at: moment(info.created_at),
            updated_at: moment(info.updated_at),
            backend: info.backend.clone(),
        }
    }
}

/// An error of usage that only shows once the arguments are seen together.
pub(super) fn usage(message: &str) -> anyhow::Error {
    Error::new(ErrorKind::InvalidArgument, message).into()
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn sha256(text: &str) -> Result<[u8; 32], String> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).map_err(|_| "write 64 hexadecimal digits")?;
    Ok(digest)
}

/// A span of time, as the configuration writes it.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    storage_core::config::parse_duration(text)
        .ok_or_else(|| "write a duration such as 15m or 7days".to_owned())
}

fn byte_range(text: &str) -> Result<ByteRange, String> {
    let form = "write a range such as 0-99, 100- or -50";
    let number = |text: &str| text.parse::<u64>().map_err(|_| form.to_owned());
    match text.split_once('-').ok_or(form)? {
        ("", length) => Ok(ByteRange::Suffix(number(length)?)),
        (start, "") => Ok(ByteRange::From(number(start)?)),
        (start, last) => Ok(ByteRange::Bounded(number(start)?, number(last)?.saturating_add(1))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_as_in_http() {
        assert_eq!(byte_range("0-99"), Ok(ByteRange::Bounded(0, 100)));
        assert_eq!(byte_range("100-"), Ok(ByteRange::From(100)));
        assert_eq!(byte_range("-50"), Ok(ByteRange::Suffix(50)));
        for faulty in ["", "-", "a-b", "5"] {
            assert!(byte_range(faulty).is_err(), "{faulty}");
        }
    }

    #[test]
    fn a_download_stays_in_its_directory() {
        for (filename, name) in
            [("../../etc/passwd", "passwd"), ("..", "download"), ("a\\b.pdf", "b.pdf"), ("cv.pdf", "cv.pdf")]
        {
            assert_eq!(plain_name(filename), name);
        }
    }
}
