//! `storage put`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use futures_util::TryStreamExt as _;
use storage_core::{ByteStream, Error, ErrorKind, Result, Tier};
use tokio::fs::File;
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use super::FileLine;
use crate::catalog::{FileId, UserId};
use crate::cli::arguments::{pair, sha256, usage};
use crate::cli::context::Context;
use crate::cli::output::Output;
use crate::cli::transfer::Transfer;
use crate::cli::{local, signals};
use crate::service::{FileInfo, SaveFileOptions, SimpleStorageService};

/// Reads of local files are of this size.
const BUFFER_BYTES: usize = 512 * 1024;

/// Saves files and prints their ids, one per line.
///
/// A file that cannot be saved is told, and the others are saved all the same.
#[derive(Debug, Args)]
pub(in crate::cli) struct Put {
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
    #[arg(long, value_name = "DIGEST", value_parser = sha256)]
    sha256: Option<[u8; 32]>,
    /// Saves a new version of this file
    #[arg(long, value_name = "ID")]
    replace: Option<FileId>,
    /// The tier to store in: hot, warm, cold or glacier
    #[arg(long)]
    tier: Option<Tier>,
}

impl Put {
    pub(in crate::cli) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        if self.paths.len() > 1 && (self.name.is_some() || self.replace.is_some() || self.sha256.is_some()) {
            return Err(usage("--name, --replace and --sha256 go with one file").into());
        }
        context.with_service(async |service| self.put_all(service, context).await).await
    }

    async fn put_all(&self, service: &SimpleStorageService, context: &Context) -> anyhow::Result<ExitCode> {
        let output = context.output;
        let interruption = signals::on_first()?;
        let mut saved = Vec::new();
        let mut first_failure = None;
        for path in &self.paths {
            match self.put(path, service, output, &interruption).await {
                Ok(info) => {
                    if !output.json {
                        output.line(&info.id.to_string())?;
                    }
                    saved.push(FileLine::of(&info));
                }
                Err(error) => {
                    let is_interrupted = error.kind() == ErrorKind::Cancelled;
                    let code = output.fail(&error.into());
                    first_failure.get_or_insert(code);
                    if is_interrupted {
                        break;
                    }
                }
            }
        }
        if output.json {
            output.line(&serde_json::to_string_pretty(&saved)?)?;
        }
        Ok(first_failure.unwrap_or(ExitCode::SUCCESS))
    }

    async fn put(
        &self,
        path: &Path,
        service: &SimpleStorageService,
        output: Output,
        interruption: &CancellationToken,
    ) -> Result<FileInfo> {
        let is_stdin = path == Path::new("-");
        let own_name = path.file_name().filter(|_| !is_stdin).map(|name| name.to_string_lossy().into_owned());
        let name = self.name.clone().or(own_name);
        let body = if is_stdin {
            let name = name
                .as_deref()
                .ok_or_else(|| usage("standard input has no name; give it one, as in --name resume.pdf"))?;
            content(tokio::io::stdin(), Transfer::new(output, name, None, interruption.clone()))
        } else {
            let unreadable = |error| local::error("the file cannot be read", path, error);
            let file = File::open(path).await.map_err(unreadable)?;
            let described = file.metadata().await.map_err(unreadable)?;
            if described.is_dir() {
                let error = usage("this is a directory; name the files in it");
                return Err(error.with_context("path", path.display()));
            }
            // A pipe or device has no length that could be declared.
            let length_bytes = described.is_file().then_some(described.len());
            let transfer = Transfer::new(
                output,
                name.as_deref().unwrap_or_default(),
                length_bytes,
                interruption.clone(),
            );
            content(file, transfer)
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
        let saved = service.save_with(body, &name.unwrap_or_default(), &self.user, options).await;
        saved.map_err(
            |error| {
                if self.paths.len() > 1 { error.with_context("path", path.display()) } else { error }
            },
        )
    }
}

fn content(reader: impl AsyncRead + Send + 'static, transfer: Transfer) -> ByteStream {
    let unreadable =
        |error| Error::new(ErrorKind::InvalidArgument, "the source cannot be read").with_source(error);
    transfer.watch(ReaderStream::with_capacity(reader, BUFFER_BYTES).map_err(unreadable))
}
