//! A job that renders a résumé as a PDF and saves it: the second scene of the first user.
//!
//! ```text
//! cargo xtask build-plugins local
//! export PLUGIN_DIR=target/debug/plugins
//! cargo run -p storage-host --example render_resume -- --user 42 --job 123 "Ada Lovelace"
//! ```
//!
//! The backend is whatever `.env` says. Nothing here knows which one that is. A program that is installed has its
//! plugins in `plugins/` beside it; cargo puts an example elsewhere than the plugins, hence `PLUGIN_DIR`.

use anyhow::Context;
use clap::Parser;
use printpdf::{
    BuiltinFont, Mm, Op, PdfDocument, PdfFontHandle, PdfPage, PdfSaveOptions, Point, Pt, TextItem,
};
use storage_host::catalog::UserId;
use storage_host::service::{Metadata, Storage};

/// Renders a résumé and saves it.
#[derive(Parser)]
struct Arguments {
    /// Whose résumé it is.
    #[arg(long)]
    user: UserId,
    /// The job that it is for.
    #[arg(long)]
    job: u64,
    /// The name at its head.
    name: String,
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "the answer of a command-line example")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let storage = Storage::from_env().await?;

    let pdf = render(&arguments.name, arguments.job);
    let filename = format!("resume_{}.pdf", arguments.job);
    let metadata = Metadata::from([("job_id".to_owned(), arguments.job.to_string())]);
    let file_id = storage.save(pdf, &filename, &arguments.user, metadata).await?;
    println!("saved {filename} as {file_id}");

    let link = storage.get_download_url(file_id, &arguments.user, None).await?;
    println!("download it, for a while, from {}", link.url);

    storage.close().await.context("closing the storage")
}

/// One page with a name, a line under it, and what the person did.
fn render(name: &str, job: u64) -> Vec<u8> {
    let line = |text: &str, size: f32| {
        [
            Op::SetFont { font: PdfFontHandle::Builtin(BuiltinFont::Helvetica), size: Pt(size) },
            Op::SetLineHeight { lh: Pt(size * 1.5) },
            Op::ShowText { items: vec![TextItem::Text(text.to_owned())] },
            Op::AddLineBreak,
        ]
    };
    let mut operations =
        vec![Op::StartTextSection, Op::SetTextCursor { pos: Point::new(Mm(20.0), Mm(270.0)) }];
    operations.extend(line(name, 24.0));
    operations.extend(line(&format!("Application for position {job}"), 14.0));
    operations.extend(line("Analytical engines, notes on computation, translation from the French", 11.0));
    operations.push(Op::EndTextSection);
    let mut document = PdfDocument::new(&format!("Résumé of {name}"));
    document
        .with_pages(vec![PdfPage::new(Mm(210.0), Mm(297.0), operations)])
        .save(&PdfSaveOptions::default(), &mut Vec::new())
}
