//! [`Source`]: the body of a save, taken in pieces, with its digests computed on the way.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use storage_core::{ByteStream, Checksums, Error, ErrorKind, Result};

use crate::digest::Digester;

/// A body that is taken piece by piece. A piece that was begun is not lost where waiting for it is given up.
pub(crate) struct Source {
    /// How long the body says that it is.
    length_bytes: Option<u64>,
    body: ByteStream,
    digester: Digester,
    /// What came beyond the piece.
    ahead: Bytes,
    piece: BytesMut,
    taken_bytes: u64,
    limit_bytes: u64,
    ended: bool,
}

impl Source {
    /// A source of at most so many bytes.
    pub(crate) fn new(body: ByteStream, expected: &Checksums, limit_bytes: u64) -> Self {
        Self {
            length_bytes: body.length_bytes(),
            body,
            digester: Digester::for_expected(expected),
            ahead: Bytes::new(),
            piece: BytesMut::new(),
            taken_bytes: 0,
            limit_bytes,
            ended: false,
        }
    }

    /// Whether the last piece was taken.
    pub(crate) fn is_at_end(&self) -> bool {
        self.ended
    }

    /// How many bytes were taken.
    pub(crate) fn taken_bytes(&self) -> u64 {
        self.taken_bytes
    }

    /// The digests of what was taken.
    pub(crate) fn checksums(&mut self) -> Checksums {
        self.digester.finish()
    }

    /// The next piece, of exactly this size but for the last one. A buffer that has it all is not copied.
    ///
    /// # Errors
    ///
    /// The body's own; `TooLarge` beyond the limit.
    pub(crate) async fn piece(&mut self, size_bytes: usize) -> Result<Bytes> {
        loop {
            let missing = size_bytes - self.piece.len();
            if self.ahead.is_empty() {
                match self.body.next().await.transpose()? {
                    Some(chunk) => self.ahead = chunk,
                    None => {
                        self.ended = true;
                        return self.finish_piece();
                    }
                }
            } else if missing == 0 {
                // There is more than this piece, so that it is not the last.
                return self.finish_piece();
            } else if self.piece.is_empty() && self.ahead.len() > missing {
                let piece = self.ahead.split_to(missing);
                return self.account(piece);
            } else {
                if self.piece.is_empty() {
                    // At once, since a buffer that grows is copied each time.
                    let left = self.length_bytes.map_or(0, |length| length.saturating_sub(self.taken_bytes));
                    self.piece.reserve(usize::try_from(left).unwrap_or(usize::MAX).min(missing));
                }
                let next = self.ahead.split_to(missing.min(self.ahead.len()));
                self.piece.extend_from_slice(&next);
            }
        }
    }

    fn finish_piece(&mut self) -> Result<Bytes> {
        let piece = std::mem::take(&mut self.piece).freeze();
        self.account(piece)
    }

    fn account(&mut self, piece: Bytes) -> Result<Bytes> {
        self.taken_bytes += piece.len() as u64;
        if self.taken_bytes > self.limit_bytes {
            return Err(too_large(self.limit_bytes));
        }
        self.digester.update(&piece);
        Ok(piece)
    }
}

/// The content is larger than this configuration takes.
pub(crate) fn too_large(limit_bytes: u64) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!(
            "the file is larger than {limit_bytes} bytes; a larger transfer_memory (MINIO_TRANSFER_MEMORY) takes more"
        ),
    )
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn source(chunks: &[&'static str], limit_bytes: u64) -> Source {
        let chunks: Vec<_> = chunks.iter().map(|text| Ok(Bytes::from_static(text.as_bytes()))).collect();
        Source::new(ByteStream::from_stream(stream::iter(chunks), None), &Checksums::default(), limit_bytes)
    }

    async fn pieces(mut source: Source) -> Vec<String> {
        let mut pieces = Vec::new();
        while !source.is_at_end() {
            let piece = source.piece(3).await.expect("a piece");
            pieces.push(String::from_utf8(piece.to_vec()).expect("text"));
        }
        pieces
    }

    #[tokio::test]
    async fn pieces_have_their_size_and_the_last_one_the_rest() {
        assert_eq!(pieces(source(&["ab", "cdefgh", "i"], 99)).await, ["abc", "def", "ghi"]);
        assert_eq!(pieces(source(&["abcd"], 99)).await, ["abc", "d"]);
        assert_eq!(pieces(source(&[], 99)).await, [""]);
        assert_eq!(pieces(source(&["abc"], 99)).await, ["abc"], "the end is known with the last piece");
    }

    #[tokio::test]
    async fn more_than_the_limit_is_refused() {
        let mut source = source(&["abcdef"], 5);
        source.piece(3).await.expect("within");
        assert_eq!(source.piece(3).await.expect_err("beyond").kind(), ErrorKind::TooLarge);
    }
}
