//! `storage test`: the main operations of one backend, tried one after the other on an object of their own.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use serde_json::json;
use sha2::Digest as _;
use storage_core::{
    Backend, ByteRange, ByteStream, Capabilities, CopyOptions, DeleteOptions, Error, ErrorKind, ListOptions,
    MetadataOptions, ObjectKey, Result, RetrieveOptions, SaveOptions,
};

use super::context::Context;
use super::table::count;
use crate::manager::NamedBackend;
use crate::service::{SimpleStorageService, remove_object};

/// The size of the object: more than one chunk of a stream.
const SIZE_BYTES: usize = 1024 * 1024 + 17;

/// Tries a configured backend step by step: saves, reads, lists and deletes an object of its own.
#[derive(Debug, Args)]
pub(super) struct Test {
    /// The backend; the primary one where absent
    #[arg(long)]
    backend: Option<String>,
}

/// What became of one step.
#[derive(Debug, Serialize)]
struct Step {
    name: &'static str,
    /// `ok`, `failed` or `not supported`.
    outcome: &'static str,
    milliseconds: f64,
    problem: Option<String>,
}

impl Test {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        context.with_service(async |service| self.work(service, context).await).await
    }

    async fn work(&self, service: &SimpleStorageService, context: &Context) -> anyhow::Result<ExitCode> {
        let manager = service.manager();
        let named = match &self.backend {
            Some(name) => manager.backend(name)?,
            None => manager.primary(),
        };
        let key = ObjectKey::new(format!("storage-self-test/{}/object.bin", uuid::Uuid::now_v7()))?;
        let trial = Trial {
            named: named.clone(),
            backend: named.backend.clone(),
            content: content(),
            copy: ObjectKey::new(format!("{key}-copy"))?,
            key,
        };
        let steps = trial.run(context).await?;
        let failed = steps.iter().filter(|step| step.outcome == "failed").count();
        let name = &named.name;
        let value = json!({ "backend": name, "works": failed == 0, "steps": steps });
        context.output.answer(&value, || match failed {
            0 => format!("backend {name} works"),
            failed => {
                format!("backend {name} fails at {failed} of {}", count(steps.len() as u64, "step", "steps"))
            }
        })?;
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Bytes that no compression and no accident would give.
fn content() -> Vec<u8> {
    let mut block = [0; 32];
    let mut content = Vec::with_capacity(SIZE_BYTES + block.len());
    while content.len() < SIZE_BYTES {
        block = sha2::Sha256::digest(block).into();
        content.extend_from_slice(&block);
    }
    content.truncate(SIZE_BYTES);
    content
}

struct Trial {
    named: Arc<NamedBackend>,
    backend: Arc<dyn Backend>,
    key: ObjectKey,
    copy: ObjectKey,
    content: Vec<u8>,
}

impl Trial {
    /// Goes through the steps. What an early one left is deleted by the last ones, whatever failed between.
    async fn run(&self, context: &Context) -> anyhow::Result<Vec<Step>> {
        let mut steps = Vec::new();
        let mut note = |name, begun: Instant, result: Result<()>| -> anyhow::Result<()> {
            let step = step(name, begun.elapsed(), result);
            if !context.output.json {
                let problem =
                    step.problem.as_deref().map(|problem| format!(": {problem}")).unwrap_or_default();
                context.output.line(&format!(
                    "{:14} {:8.1} ms  {}{problem}",
                    step.name, step.milliseconds, step.outcome
                ))?;
            }
            steps.push(step);
            Ok(())
        };
        macro_rules! steps {
            ($($name:literal => $method:ident),+ $(,)?) => {
                $({
                    let begun = Instant::now();
                    let result = self.$method().await;
                    note($name, begun, result)?;
                })+
            };
        }
        steps! {
            "health" => health,
            "save" => save,
            "exists" => exists,
            "metadata" => metadata,
            "retrieve" => retrieve,
            "range" => range,
            "list" => list,
            "copy" => copy,
            "delete" => delete,
            "gone" => gone,
        }
        Ok(steps)
    }

    async fn health(&self) -> Result<()> {
        match self.backend.health().await?.problems.as_slice() {
            [] => Ok(()),
            problems => Err(Error::new(ErrorKind::Unavailable, problems.join("; "))),
        }
    }

    async fn save(&self) -> Result<()> {
        let options = SaveOptions {
            content_type: Some("application/octet-stream".to_owned()),
            ..SaveOptions::default()
        };
        let saved =
            self.backend.save(&self.key, ByteStream::from_bytes(self.content.clone()), options).await?;
        expect(saved.size_bytes == SIZE_BYTES as u64, "another number of bytes was stored")
    }

    async fn exists(&self) -> Result<()> {
        expect(self.backend.exists(&self.key).await?, "the object that was saved is not there")
    }

    async fn metadata(&self) -> Result<()> {
        let meta = self.backend.get_metadata(&self.key, MetadataOptions::default()).await?;
        expect(meta.size_bytes == SIZE_BYTES as u64, "the metadata have another length")
    }

    async fn retrieve(&self) -> Result<()> {
        let body = self.backend.retrieve(&self.key, RetrieveOptions::default()).await?.body;
        expect(body.collect(SIZE_BYTES as u64).await? == self.content, "other bytes came back")
    }

    async fn range(&self) -> Result<()> {
        let options =
            RetrieveOptions { range: Some(ByteRange::Bounded(1000, 2000)), ..RetrieveOptions::default() };
        let body = self.backend.retrieve(&self.key, options).await?.body;
        expect(body.collect(1000).await? == self.content[1000..2000], "other bytes came back")
    }

    async fn list(&self) -> Result<()> {
        let options = ListOptions { prefix: self.key.to_string(), ..ListOptions::default() };
        let page = self.backend.list_files(options).await?;
        expect(page.objects.iter().any(|object| object.key == self.key), "the object is not listed")
    }

    async fn copy(&self) -> Result<()> {
        if !self.backend.info().capabilities.has(Capabilities::COPY) {
            return Err(Error::unsupported("copy"));
        }
        self.backend.copy(&self.key, &self.copy, CopyOptions::default()).await?;
        expect(self.backend.exists(&self.copy).await?, "the copy is not there")
    }

    async fn delete(&self) -> Result<()> {
        let deleted = self.backend.delete(&self.key, DeleteOptions::default()).await?;
        // Whatever else was left goes too: the copy, and versions that the backend keeps.
        remove_object(&self.named, &self.copy).await?;
        remove_object(&self.named, &self.key).await?;
        expect(deleted.existed, "there was nothing to delete")
    }

    async fn gone(&self) -> Result<()> {
        expect(!self.backend.exists(&self.key).await?, "the object is still there")
    }
}

fn expect(holds: bool, otherwise: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::new(ErrorKind::Internal, otherwise)) }
}

fn step(name: &'static str, took: Duration, result: Result<()>) -> Step {
    let milliseconds = took.as_secs_f64() * 1e3;
    match result {
        Ok(()) => Step { name, outcome: "ok", milliseconds, problem: None },
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            Step { name, outcome: "not supported", milliseconds, problem: None }
        }
        Err(error) => Step { name, outcome: "failed", milliseconds, problem: Some(error.report()) },
    }
}
