//! `storage get`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use futures_util::StreamExt as _;
use serde_json::json;
use storage_core::{ByteRange, Error, ErrorKind, Result};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::FileLine;
use crate::catalog::{FileId, FileVersionId, UserId};
use crate::cli::arguments::{byte_range, usage};
use crate::cli::context::Context;
use crate::cli::table::size;
use crate::cli::transfer::Transfer;
use crate::cli::{local, signals};
use crate::service::{FileContent, RetrieveFileOptions};

/// Reads a file to standard output, or to a file.
#[derive(Debug, Args)]
pub(in crate::cli) struct Get {
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
    pub(in crate::cli) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let options = RetrieveFileOptions {
            range: self.range,
            version: self.version,
            ..RetrieveFileOptions::default()
        };
        context
            .with_service(async |service| {
                let content = service.retrieve_with(self.id, &self.user, options).await?;
                match &self.output {
                    Some(path) if path != Path::new("-") => download(content, path, context).await,
                    named => print(content, named.is_some(), context).await,
                }
            })
            .await
    }
}

async fn print(content: FileContent, is_wanted: bool, context: &Context) -> anyhow::Result<ExitCode> {
    let is_text = content.info.content_type.starts_with("text/");
    if !is_wanted && !is_text && std::io::stdout().is_terminal() {
        let error = usage("this is no text for a terminal; say where to write it, as in -o .");
        return Err(error.with_context("content_type", &content.info.content_type).into());
    }
    pour(content, tokio::io::stdout(), Path::new("standard output"), context).await?;
    Ok(ExitCode::SUCCESS)
}

async fn download(content: FileContent, path: &Path, context: &Context) -> anyhow::Result<ExitCode> {
    let line = FileLine::of(&content.info);
    let length_bytes = content.range.end - content.range.start;
    let target = if path.is_dir() { place_in(path, &content.info.filename)? } else { path.to_owned() };
    match tokio::fs::metadata(&target).await {
        // A device or a pipe is written to, never replaced.
        Ok(described) if !described.is_file() => {
            let opened = OpenOptions::new().write(true).open(&target).await;
            let file = opened.map_err(|error| cannot_write(&target, error))?;
            pour(content, file, &target, context).await?;
        }
        Ok(_) => {
            // What a symbolic link leads to is replaced, not the link.
            let real =
                tokio::fs::canonicalize(&target).await.map_err(|error| cannot_write(&target, error))?;
            replace(content, &real, context).await?;
        }
        Err(_) => replace(content, &target, context).await?,
    }
    context.output.remark(&format!("wrote {} ({})", target.display(), size(length_bytes)));
    if context.output.json {
        return context
            .output
            .answer(&json!({ "path": target, "bytes": length_bytes, "file": line }), String::new);
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a file goes that gets its own name. The name is the owner's, not the caller's: it replaces nothing.
fn place_in(directory: &Path, filename: &str) -> Result<PathBuf> {
    let target = directory.join(plain_name(filename));
    if target.symlink_metadata().is_ok() {
        let error = Error::new(ErrorKind::AlreadyExists, "a file of this name is there already");
        return Err(error
            .with_context("path", target.display())
            .with_context("next_step", format!("to replace it, name it: -o {}", target.display())));
    }
    Ok(target)
}

/// Writes beside the target and renames, so that a file with the target's name is always a whole one.
async fn replace(content: FileContent, target: &Path, context: &Context) -> Result<()> {
    let partial = target.with_file_name(format!(".storage-{}.partial", std::process::id()));
    let file = File::create_new(&partial).await.map_err(|error| cannot_write(target, error))?;
    let done = match pour(content, file, target, context).await {
        Ok(()) => tokio::fs::rename(&partial, target).await.map_err(|error| cannot_write(target, error)),
        Err(error) => Err(error),
    };
    if done.is_err()
        && let Err(error) = tokio::fs::remove_file(&partial).await
    {
        context.output.remark(&format!("{} could not be removed: {error}", partial.display()));
    }
    done
}

/// Writes the content. A reader who went away (`storage get … | head`) has read what it wanted.
async fn pour(
    content: FileContent,
    mut target: impl AsyncWrite + Unpin,
    path: &Path,
    context: &Context,
) -> Result<()> {
    let length_bytes = content.range.end - content.range.start;
    let interruption = signals::on_first()?;
    let transfer = Transfer::new(context.output, &content.info.filename, Some(length_bytes), interruption);
    let mut chunks = transfer.watch(content.body);
    while let Some(chunk) = chunks.next().await.transpose()? {
        match target.write_all(&chunk).await {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(|error| cannot_write(path, error))?,
        }
    }
    match target.flush().await {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        flushed => flushed.map_err(|error| cannot_write(path, error)),
    }
}

fn cannot_write(path: &Path, error: std::io::Error) -> Error {
    let message = "the content cannot be written";
    match error.kind() {
        // It is not the file that was asked for that is missing, but the folder for it.
        std::io::ErrorKind::NotFound => {
            Error::new(ErrorKind::Internal, message).with_context("path", path.display()).with_source(error)
        }
        _ => local::error(message, path, error),
    }
}

/// The name of a file without anything that would lead out of its directory.
fn plain_name(filename: &str) -> String {
    let last = filename.rsplit(['/', '\\']).next().unwrap_or_default();
    if matches!(last, "" | "." | "..") { "download".to_owned() } else { last.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_stays_in_its_directory() {
        for (filename, name) in
            [("../../etc/passwd", "passwd"), ("..", "download"), ("a\\b.pdf", "b.pdf"), ("cv.pdf", "cv.pdf")]
        {
            assert_eq!(plain_name(filename), name);
        }
    }
}
