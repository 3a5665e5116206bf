//! Uploads in parts.
//!
//! Azure keeps blocks that wait for their list under the blob's name, and drops all of them when any writer of that
//! name finishes. So the blocks of an upload wait under a name of the upload's own, and completing it stages them
//! anew under the object's name, from there and inside the service:
//!
//! * [`crate::uploads`]: the record, a small blob that says which object the upload will make, and is the
//!   upload's existence,
//! * `<record>/parts`: the blob whose blocks are the parts.
//!
//! A part is a few blocks. Their names say which part, which sending of it, which piece, and, with the last, the
//! CRC-64 of the whole part: so a part of which the last block is missing is none, and one that is sent again
//! replaces the former when its last block has come.

use std::collections::BTreeMap;
use std::time::SystemTime;

use azure_core::{Method, base64};
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum_combine};
use storage_core::{
    AbortResult, ByteStream, Checksums, CompleteOptions, ETag, Error, ErrorKind, ListPartsOptions, ObjectKey,
    ObjectMeta, Part, PartOptions, PartPage, Result, SaveOptions, SaveResult, UploadId,
};

use crate::blocks::{self, Pieces};
use crate::client::Call;
use crate::digest::Digests;
use crate::store::{Shared, Store};
use crate::uploads::{self, Record};
use crate::xml::Element;
use crate::{attributes, copy, error, name, options, retry};

/// The most parts of an upload.
pub(crate) const MAX_PARTS: u32 = 10_000;
/// The largest part: so that all blocks of all parts are fewer than Azure takes.
pub(crate) const MAX_PART_BYTES: u64 = 256 << 20;
/// The most blocks of a part.
const MAX_PIECES: u64 = 4;

/// Begins an upload.
///
/// # Errors
///
/// `InvalidArgument`, `Unsupported`.
pub(crate) async fn begin(store: Shared, key: ObjectKey, options: SaveOptions) -> Result<UploadId> {
    options::check_description(&options)?;
    // That the name can be one is found now and not when all parts were sent.
    name::of_key(&key)?;
    uploads::create(&store, &key, &options).await
}

/// Sends one part.
///
/// # Errors
///
/// `NotFound`, `InvalidArgument`, `TooLarge`, `ChecksumMismatch`; the body's.
pub(crate) async fn upload_part(
    store: Shared,
    key: ObjectKey,
    upload: UploadId,
    number: u32,
    body: ByteStream,
    options: PartOptions,
) -> Result<Part> {
    options::check_extra(&options.extra)?;
    if !(1..=MAX_PARTS).contains(&number) {
        return Err(Error::new(ErrorKind::InvalidArgument, "a part's number is 1 to 10,000")
            .with_context("number", number));
    }
    let declared = body.length_bytes();
    if declared.is_some_and(|length| length > MAX_PART_BYTES) {
        return Err(too_large());
    }
    let record = Record::load(&store, &key, &upload).await?;
    let target = record.parts_name();
    let least = MAX_PART_BYTES / MAX_PIECES;
    let piece_bytes = declared.map_or(least, |length| {
        store.config.transfer.block_bytes.max(length.div_ceil(MAX_PIECES)).min(least)
    });
    let sending = Sending::new(number);
    let mut digests = Digests::expecting(options.checksums);
    let mut pieces = Pieces::new(body);
    let mut size_bytes = 0;
    for piece_number in 0.. {
        let piece = pieces.next(piece_bytes as usize).await?.unwrap_or_default();
        digests.update(&piece);
        size_bytes += piece.len() as u64;
        if size_bytes > MAX_PART_BYTES {
            return Err(too_large());
        }
        if !pieces.is_over() {
            let name = sending.piece(piece_number, Kind::Inner, 0);
            stage(&store, &target, &name, piece).await?;
            continue;
        }
        // The last block makes the part: it is sent when everything is known to be right.
        let checksums = digests.verify()?;
        let crc = checksums.crc64nvme.unwrap_or_default();
        // No block is empty: that of an empty part holds a byte that is never read.
        let (kind, bytes) = match size_bytes {
            0 => (Kind::Empty, Bytes::from_static(b"\0")),
            _ => (Kind::Last, piece),
        };
        stage(&store, &target, &sending.piece(piece_number, kind, crc), bytes).await?;
        return Ok(Part { number, size_bytes, etag: sending.etag(), checksums });
    }
    Err(too_large())
}

async fn stage(store: &Store, target: &str, name: &str, bytes: Bytes) -> Result<()> {
    retry::part(|| blocks::stage(&store.client, target, name, bytes.clone())).await
}

fn too_large() -> Error {
    Error::new(ErrorKind::TooLarge, "the part is larger than 256 MiB")
        .with_context("limit_bytes", MAX_PART_BYTES)
}

/// Makes the object from these parts.
///
/// # Errors
///
/// `NotFound`, `InvalidArgument`, `AlreadyExists`, `PreconditionFailed`, `ChecksumMismatch`; `Unsupported` for a
/// digest other than the CRC-64.
pub(crate) async fn complete(
    store: Shared,
    key: ObjectKey,
    upload: UploadId,
    parts: Vec<Part>,
    options: CompleteOptions,
) -> Result<SaveResult> {
    options::check_extra(&options.extra)?;
    let record = Record::load(&store, &key, &upload).await?;
    check_order(&parts)?;
    let other = Checksums { crc64nvme: None, ..options.checksums };
    if !other.is_empty() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "of a content in parts only the CRC-64/NVME is known: give the digests with the parts",
        ));
    }
    let held = uploads::hold(&store, &record).await?;
    let sent = sent_parts(&store, &record).await?;
    let made = async {
        let (names, size_bytes, crc) = chosen(&sent, &parts)?;
        let checksums = Checksums { crc64nvme: Some(crc), ..Checksums::default() };
        options.checksums.verify(&checksums)?;
        let target = record.parts_name();
        // All parts are listed, so that those that are not named are still there if this fails.
        let rest = sent.values().flat_map(|part| &part.names).filter(|name| !names.contains(name));
        let all: Vec<_> = names.iter().chain(rest).cloned().collect();
        let listed = blocks::commit(&store.client, &target, &all, None).await?;
        let mut meta = ObjectMeta::new(key.clone(), size_bytes, SystemTime::now());
        meta.etag = listed.header("etag").map(attributes::unquoted);
        meta.checksums = checksums;
        let source = copy::address(&store, &target, None, &meta).await?;
        let blob = name::of_key(&key)?;
        copy::compose(&store, &blob, &source, &meta, &record.options()?, &options.condition).await
    };
    match made.await {
        Ok(saved) => {
            held.finish(&record).await;
            Ok(saved)
        }
        Err(error) => {
            held.release().await;
            Err(error)
        }
    }
}

fn check_order(parts: &[Part]) -> Result<()> {
    let invalid = |message| Err(Error::new(ErrorKind::InvalidArgument, message));
    if parts.is_empty() {
        return invalid("an upload is completed with one part at least");
    }
    if !parts.is_sorted_by(|one, next| one.number < next.number) {
        return invalid("the numbers of the parts do not ascend");
    }
    Ok(())
}

/// The blocks of the named parts, their length together and their CRC-64.
fn chosen(sent: &BTreeMap<u32, Sent>, parts: &[Part]) -> Result<(Vec<String>, u64, u64)> {
    let (mut names, mut size_bytes, mut crc) = (Vec::new(), 0, None);
    for part in parts {
        let found = sent.get(&part.number).filter(|sent| sent.etag == part.etag);
        let found = found.ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, "a part was not sent, or has another tag by now")
                .with_context("number", part.number)
        })?;
        if found.size_bytes > 0 {
            names.extend(found.names.iter().cloned());
            crc = Some(crc.map_or(found.crc, |before| {
                checksum_combine(CrcAlgorithm::Crc64Nvme, before, found.crc, found.size_bytes)
            }));
            size_bytes += found.size_bytes;
        }
    }
    Ok((names, size_bytes, crc.unwrap_or_default()))
}

/// Ends an upload and drops its parts.
///
/// # Errors
///
/// None of its own.
pub(crate) async fn abort(store: Shared, key: ObjectKey, upload: UploadId) -> Result<AbortResult> {
    let record = match Record::load(&store, &key, &upload).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(AbortResult::default()),
        other => other?,
    };
    let existed = uploads::remove(&store, &record).await?;
    Ok(AbortResult { existed })
}

/// Lists the parts of an upload.
///
/// # Errors
///
/// `NotFound`; `InvalidArgument` for a limit of 0.
pub(crate) async fn list_parts(
    store: Shared,
    key: ObjectKey,
    upload: UploadId,
    options: ListPartsOptions,
) -> Result<PartPage> {
    let limit = options::page_size(options.limit)? as usize;
    let record = Record::load(&store, &key, &upload).await?;
    let sent = sent_parts(&store, &record).await?;
    let mut later = sent.into_iter().filter(|(number, _)| options.after.is_none_or(|after| *number > after));
    let parts: Vec<_> = later.by_ref().take(limit).map(|(number, sent)| sent.part(number)).collect();
    let next_after = later.next().and_then(|_| parts.last().map(|part| part.number));
    Ok(PartPage { parts, next_after })
}

/// One sending of a part.
struct Sending {
    number: u32,
    /// The moment and some random digits: of two sendings, the later one counts.
    stamp: String,
}

/// What a block of a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Inner,
    /// The last: its name tells the part's CRC-64.
    Last,
    /// The only one of an empty part.
    Empty,
}

impl Kind {
    const ALL: [(Kind, &'static str); 3] = [(Kind::Inner, "i"), (Kind::Last, "l"), (Kind::Empty, "e")];

    fn letter(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, letter)| letter)
    }

    fn from_letter(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, letter)| *letter == text).map(|(kind, _)| *kind)
    }
}

impl Sending {
    fn new(number: u32) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { number, stamp: format!("{:016x}{:08x}", now.as_micros(), rand::random::<u32>()) }
    }

    fn etag(&self) -> ETag {
        ETag::new(self.stamp.as_str())
    }

    /// The name of a block: 5 digits of number, 24 of stamp, 3 of piece, a letter, 16 of CRC.
    fn piece(&self, piece: u64, kind: Kind, crc: u64) -> String {
        format!("{:05}{}{piece:03}{}{crc:016x}", self.number, self.stamp, kind.letter())
    }
}

/// A part that is there whole.
struct Sent {
    names: Vec<String>,
    size_bytes: u64,
    etag: ETag,
    crc: u64,
}

impl Sent {
    fn part(self, number: u32) -> Part {
        let checksums = Checksums { crc64nvme: Some(self.crc), ..Checksums::default() };
        Part { number, size_bytes: self.size_bytes, etag: self.etag, checksums }
    }
}

/// The parts that are there, by number.
async fn sent_parts(store: &Store, record: &Record) -> Result<BTreeMap<u32, Sent>> {
    let call = Call::blob(Method::Get, &record.parts_name())
        .query("comp", "blocklist")
        .query("blocklisttype", "all");
    let text = match store.client.send(&call).await {
        Ok(reply) => reply.text().await?,
        // No block was sent yet.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let root = Element::parse(&text)?;
    let blocks = root.children().flat_map(Element::children);
    let blocks = blocks.filter_map(|block| {
        let name = String::from_utf8(base64::decode(block.text_of("Name")?).ok()?).ok()?;
        Some((name, block.text_of("Size")?.parse().ok()?))
    });
    Ok(assemble(blocks))
}

/// Puts blocks together to the parts of which all are there, the latest sending of each.
fn assemble(blocks: impl IntoIterator<Item = (String, u64)>) -> BTreeMap<u32, Sent> {
    // By their names: number, sending, piece. A block that is both listed and sent again is there twice.
    let sorted: BTreeMap<String, u64> = blocks.into_iter().collect();
    let mut sent = BTreeMap::new();
    let (mut names, mut size_bytes): (Vec<String>, u64) = (Vec::new(), 0);
    for (name, block_bytes) in sorted {
        let Some((number, stamp, piece, kind, crc)) = read_name(&name) else {
            continue;
        };
        if piece == 0 {
            (names, size_bytes) = (Vec::new(), 0);
        }
        let follows = names.last().is_none_or(|last| last[..29] == name[..29]);
        if names.len() != piece || !follows {
            continue;
        }
        let (etag, whole) = (ETag::new(stamp), kind != Kind::Inner);
        names.push(name);
        size_bytes += if kind == Kind::Empty { 0 } else { block_bytes };
        if whole {
            sent.insert(number, Sent { names: std::mem::take(&mut names), size_bytes, etag, crc });
        }
    }
    sent
}

/// Takes the name of a block apart.
fn read_name(name: &str) -> Option<(u32, String, usize, Kind, u64)> {
    if name.len() != 49 || !name.is_ascii() {
        return None;
    }
    Some((
        name[..5].parse().ok()?,
        name[5..29].to_owned(),
        name[29..32].parse().ok()?,
        Kind::from_letter(&name[32..33])?,
        u64::from_str_radix(&name[33..], 16).ok()?,
    ))
}

/// A text that names an upload; nothing for one that no upload has.
pub(crate) fn upload_uuid(upload: &UploadId) -> Result<uuid::Uuid> {
    let parsed = uuid::Uuid::try_parse(upload.as_str()).ok();
    let own =
        parsed.filter(|uuid| uuid.simple().to_string() == upload.as_str() && uuid.get_timestamp().is_some());
    own.ok_or_else(|| error::not_found("upload"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sending(number: u32, stamp: u32) -> Sending {
        Sending { number, stamp: format!("{stamp:024}") }
    }

    #[test]
    fn the_latest_whole_sending_of_each_part_counts() {
        let (first, again, broken) = (sending(1, 1), sending(1, 2), sending(1, 3));
        let other = sending(10_000, 1);
        let empty = sending(7, 1);
        let sent = assemble([
            (first.piece(0, Kind::Last, 5), 10),
            (again.piece(1, Kind::Last, 6), 30),
            (again.piece(0, Kind::Inner, 0), 20),
            (broken.piece(0, Kind::Inner, 0), 99),
            (other.piece(1, Kind::Last, 7), 99),
            (empty.piece(0, Kind::Empty, 0), 1),
            ("a block of somebody else".to_owned(), 1),
        ]);
        let told: Vec<_> =
            sent.iter().map(|(number, sent)| (*number, sent.size_bytes, sent.names.len())).collect();
        // Of the last part the first block is missing; the broken third sending leaves the second.
        assert_eq!(told, [(1, 50, 2), (7, 0, 1)]);
        assert_eq!(sent[&1].etag, again.etag());
        assert_eq!(sent[&1].crc, 6);
    }

    #[test]
    fn names_are_of_one_length_and_within_azures_limit() {
        for (number, kind, crc) in [(1, Kind::Inner, 0), (10_000, Kind::Last, u64::MAX), (3, Kind::Empty, 1)]
        {
            let name = Sending::new(number).piece(3, kind, crc);
            assert_eq!(name.len(), 49);
            let (read, _, piece, read_kind, read_crc) = read_name(&name).expect("own");
            assert_eq!((read, piece, read_kind, read_crc), (number, 3, kind, crc));
        }
    }
}
