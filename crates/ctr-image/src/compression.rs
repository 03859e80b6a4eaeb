//! Layers, compressed or not: one pass over the input gives the blob on disk, its digest, the digest of what is in it (the
//! diff id) and the tar itself.
//!
//! Decompressed in process by magic number, never by a program from the PATH (reliability.md H13).

use std::io::{self, BufRead as _, BufReader, Read, Write as _};

use ctr_types::{Digest, Hasher};
use flate2::bufread::MultiGzDecoder;

use crate::blobs::{BlobWriter, StagedBlob};

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), perhaps of several members.
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Compression {
    /// By the first bytes.
    pub fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// The media type of a layer so compressed (image-spec, layer.md).
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// Passes bytes on and writes them to a blob on the way.
#[derive(Debug)]
struct Tee<R> {
    input: R,
    blob: Option<BlobWriter>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        if let Some(blob) = &mut self.blob {
            blob.write_all(buffer.get(..count).unwrap_or_default())?;
        }
        Ok(count)
    }
}

type Source<R> = BufReader<Tee<R>>;

enum Decoder<R: Read> {
    None(Source<R>),
    Gzip(Box<MultiGzDecoder<Source<R>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Source<R>>>),
}

impl<R: Read> Decoder<R> {
    fn new(input: R, blob: Option<BlobWriter>) -> io::Result<(Self, Compression)> {
        let mut source = BufReader::with_capacity(64 << 10, Tee { input, blob });
        let compression = Compression::of(source.fill_buf()?);
        let decoder = match compression {
            Compression::None => Self::None(source),
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(source))),
            Compression::Zstd => {
                Self::Zstd(Box::new(zstd::stream::read::Decoder::with_buffer(source)?))
            }
        };
        Ok((decoder, compression))
    }

    fn into_source(self) -> Source<R> {
        match self {
            Self::None(source) => source,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None(source) => source.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

/// What a whole layer turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerInfo {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Bytes of the uncompressed tar.
    pub size: u64,
    /// The blob as it came.
    pub blob: StagedBlob,
    /// How it is compressed.
    pub compression: Compression,
}

/// Reads the tar out of a layer, keeping the layer as a blob.
pub struct LayerStream<R: Read> {
    decoder: Decoder<R>,
    compression: Compression,
    hasher: Hasher,
    size: u64,
    /// Most bytes of the uncompressed tar.
    limit: u64,
}

impl<R: Read> std::fmt::Debug for LayerStream<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerStream")
            .field("compression", &self.compression)
            .finish_non_exhaustive()
    }
}

impl<R: Read> LayerStream<R> {
    /// Begins to read `input`, which is written to `blob` as it is.
    pub fn new(input: R, blob: BlobWriter) -> io::Result<Self> {
        let (decoder, compression) = Decoder::new(input, Some(blob))?;
        Ok(Self {
            decoder,
            compression,
            hasher: Hasher::default(),
            size: 0,
            limit: u64::MAX,
        })
    }

    /// Reads what is left, which is no more than padding, and gives the digests.
    ///
    /// # Errors
    /// When the input cannot be read to its end, or something that is not zeros stands behind the archive.
    pub fn finish(mut self) -> io::Result<LayerInfo> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = self.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            if buffer
                .get(..count)
                .unwrap_or_default()
                .iter()
                .any(|byte| *byte != 0)
            {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "something stands behind the end of the archive",
                ));
            }
        }
        let mut source = self.decoder.into_source();
        let rest = io::copy(&mut source, &mut io::sink())?;
        if rest > 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "something stands behind the compressed data",
            ));
        }
        let blob = source.into_inner().blob.map(BlobWriter::finish);
        let blob = blob.ok_or_else(|| io::Error::other("the layer has no blob"))?;
        Ok(LayerInfo {
            diff_id: self.hasher.finish(),
            size: self.size,
            blob,
            compression: self.compression,
        })
    }
}

impl<R: Read> Read for LayerStream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.decoder.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        self.size = self.size.saturating_add(u64::try_from(count).unwrap_or(0));
        if self.size > self.limit {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the layer is larger than allowed",
            ));
        }
        Ok(count)
    }
}

/// Writes `input`, decompressed, to `out`: for archives that must be read more than once.
pub fn decompress(input: impl Read, out: &mut impl io::Write) -> io::Result<u64> {
    let (mut decoder, _) = Decoder::new(input, None)?;
    io::copy(&mut decoder, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::BlobStore;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn layer(input: &[u8]) -> io::Result<(Vec<u8>, LayerInfo)> {
        let dir = tempfile::tempdir().unwrap();
        let mut stream = LayerStream::new(input, BlobStore::stage(dir.path(), "b").unwrap())?;
        let mut text = vec![0; 5];
        stream.read_exact(&mut text)?;
        let info = stream.finish()?;
        assert_eq!(std::fs::read(&info.blob.path).unwrap(), input);
        Ok((text, info))
    }

    #[test]
    fn every_compression_gives_the_same_diff_id() {
        let data = [&b"hello"[..], &[0; 1000]].concat();
        let two_members = [gzip(b"hel"), gzip(&data[3..])].concat();
        let zstd = zstd::encode_all(&data[..], 1).unwrap();
        for (input, compression) in [
            (data.clone(), Compression::None),
            (gzip(&data), Compression::Gzip),
            (two_members, Compression::Gzip),
            (zstd, Compression::Zstd),
        ] {
            let (text, info) = layer(&input).unwrap();
            assert_eq!(
                (text.as_slice(), info.size, info.compression),
                (&b"hello"[..], 1005, compression)
            );
            assert_eq!(
                (info.diff_id, info.blob.digest),
                (Digest::of(&data), Digest::of(&input))
            );
        }
    }

    #[test]
    fn damage_and_garbage_are_refused() {
        let whole = gzip(&[&b"hello"[..], &[0; 100]].concat());
        assert!(layer(&whole[..whole.len() - 5]).is_err(), "cut short");
        assert!(layer(&[&whole[..], b"garbage"].concat()).is_err());
        assert!(
            layer(b"hello world").is_err(),
            "more than padding behind the end"
        );
        let mut wrong = whole.clone();
        let at = whole.len() - 6;
        wrong[at] ^= 1;
        assert!(layer(&wrong).is_err(), "wrong checksum");
    }
}
