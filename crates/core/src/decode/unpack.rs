//! Payloads that were compressed by whoever wrote them: known by how they begin, and unpacked within a limit.

use std::borrow::Cow;
use std::io::{self, Read};

use super::error::DecodeError;

/// How a payload is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zlib,
    Zstd,
    Lz4,
    /// In its framing format.
    Snappy,
    /// In blocks, as Java's library writes it to streams.
    SnappyBlocks,
}

impl Packing {
    /// How `payload` is compressed, if it begins as nothing else does.
    #[inline]
    pub fn of(payload: &[u8]) -> Option<Packing> {
        match payload.first() {
            Some(0x1f | b'x' | b'(' | 0x04 | 0x82 | 0xff) => Packing::by_magic(payload),
            _ => None,
        }
    }

    #[cold]
    fn by_magic(payload: &[u8]) -> Option<Packing> {
        let all: [(&[u8], Packing); 8] = [
            (b"\x1f\x8b", Packing::Gzip),
            (b"x\x01", Packing::Zlib),
            (b"x\x9c", Packing::Zlib),
            (b"x\xda", Packing::Zlib),
            (b"\x28\xb5\x2f\xfd", Packing::Zstd),
            (b"\x04\x22\x4d\x18", Packing::Lz4),
            (b"\xff\x06\x00\x00sNaPpY", Packing::Snappy),
            (b"\x82SNAPPY\x00", Packing::SnappyBlocks),
        ];
        all.into_iter().find(|(magic, _)| payload.starts_with(magic)).map(|(_, packing)| packing)
    }

    fn name(self) -> &'static str {
        match self {
            Packing::Gzip => "gzip",
            Packing::Zlib => "zlib",
            Packing::Zstd => "zstd",
            Packing::Lz4 => "lz4",
            Packing::Snappy | Packing::SnappyBlocks => "snappy",
        }
    }

    /// Unpacks a payload into `out`, which had room for something else before.
    ///
    /// # Errors
    /// If it is broken, or comes to more than `limit` bytes; no more than that is ever held.
    pub fn unpack(self, payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        out.clear();
        let read = match self {
            Packing::Gzip => within(flate2::read::MultiGzDecoder::new(payload), limit, out),
            Packing::Zlib => zlib_within(payload, limit, out),
            Packing::Zstd => zstd_within(payload, limit, out),
            Packing::Lz4 => lz4_within(payload, limit, out),
            Packing::Snappy => within(snap::read::FrameDecoder::new(payload), limit, out),
            Packing::SnappyBlocks => blocks(payload, limit, out),
        };
        match read {
            Ok(true) if out.is_empty() => Err(DecodeError::Empty),
            Ok(true) => Ok(()),
            Ok(false) => Err(DecodeError::UnpackedTooLarge { packing: self.name(), limit }),
            Err(error) => Err(DecodeError::BadCompression { packing: self.name(), why: error.to_string().into() }),
        }
    }
}

/// What a payload holds, unpacked if it is compressed and comes to no more than `limit` bytes; otherwise as it is. For whoever
/// looks at records without a [`super::Decoder`].
pub fn unpacked(payload: &[u8], limit: usize) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    match Packing::of(payload) {
        Some(packing) if packing.unpack(payload, limit, &mut out).is_ok() => Cow::Owned(out),
        _ => Cow::Borrowed(payload),
    }
}

/// Unpacks a payload that may be snappy without any frame, which nothing tells but that all of it fits together: the length it
/// says it comes to, and every copy and literal. To be tried with what is nothing else.
#[cold]
pub(super) fn raw_snappy(payload: &[u8], limit: usize) -> Option<Vec<u8>> {
    // What is compressed comes to no less than a few bytes, and to no more than 64 bytes for each 3.
    let size = snap::raw::decompress_len(payload).ok().filter(|&size| size > 1 && size <= limit)?;
    if size / 32 > payload.len() {
        return None;
    }
    let mut out = vec![0; size];
    let written = snap::raw::Decoder::new().decompress(payload, &mut out).ok()?;
    out.truncate(written);
    (written == size).then_some(out)
}

/// Reads all there is; `false` if that is more than `limit`.
fn within(reader: impl Read, limit: usize, out: &mut Vec<u8>) -> io::Result<bool> {
    reader.take(limit as u64 + 1).read_to_end(out)?;
    Ok(out.len() <= limit)
}

/// Room that is made for unpacked bytes at a time.
const STEP: usize = 64 << 10;

/// The reader of the library takes a stream that is cut short for one that has ended.
fn zlib_within(payload: &[u8], limit: usize, out: &mut Vec<u8>) -> io::Result<bool> {
    let mut inflate = flate2::Decompress::new(true);
    let mut rest = payload;
    while out.len() <= limit {
        out.reserve(STEP.min(limit + 1 - out.len()));
        let (read, written) = (inflate.total_in(), out.len());
        let status = inflate.decompress_vec(rest, out, flate2::FlushDecompress::None)?;
        let taken = usize::try_from(inflate.total_in() - read).unwrap_or(rest.len());
        rest = rest.get(taken..).unwrap_or_default();
        match status {
            flate2::Status::StreamEnd => return Ok(out.len() <= limit),
            _ if taken == 0 && out.len() == written => return Err(cut_short()),
            _ => {}
        }
    }
    Ok(false)
}

/// The same holds for frames of lz4: the mark at their end is looked for.
fn lz4_within(payload: &[u8], limit: usize, out: &mut Vec<u8>) -> io::Result<bool> {
    let fits = within(lz4_flex::frame::FrameDecoder::new(payload), limit, out)?;
    if fits && lz4_end(payload).is_none() {
        return Err(cut_short());
    }
    Ok(fits)
}

/// Where the blocks of a frame end: behind a size of 0.
fn lz4_end(payload: &[u8]) -> Option<usize> {
    let flags = *payload.get(4)?;
    let has = |bit: u8| flags & (1 << bit) != 0;
    // Magic, flags, block descriptor, then what the flags announce, then a checksum of these.
    let mut at = 6 + if has(3) { 8 } else { 0 } + if has(0) { 4 } else { 0 } + 1;
    let checksum = if has(4) { 4 } else { 0 };
    loop {
        let size = payload.get(at..)?.first_chunk::<4>()?;
        // The highest bit says that the block is not compressed.
        match u32::from_le_bytes(*size) & 0x7fff_ffff {
            0 => return Some(at + 4),
            size => at = at.checked_add(4 + size as usize + checksum)?,
        }
    }
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it is cut short")
}

/// What a frame of zstd may ask for while it is read: 2^25 bytes.
const WINDOW_LOG_MAX: u32 = 25;

fn zstd_within(payload: &[u8], limit: usize, out: &mut Vec<u8>) -> io::Result<bool> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(payload)?;
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    within(decoder, limit, out)
}

/// Magic, two versions, and blocks of snappy, each with its length before it.
fn blocks(payload: &[u8], limit: usize, out: &mut Vec<u8>) -> io::Result<bool> {
    let mut rest = payload.get(16..).ok_or_else(cut_short)?;
    let mut decoder = snap::raw::Decoder::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(cut_short)?;
        let (block, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(cut_short)?;
        let start = out.len();
        let size = snap::raw::decompress_len(block)?;
        if size > limit.saturating_sub(start) {
            return Ok(false);
        }
        out.resize(start + size, 0);
        let written = decoder.decompress(block, &mut out[start..])?;
        out.truncate(start + written);
        rest = after;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    const ALL: [Packing; 6] =
        [Packing::Gzip, Packing::Zlib, Packing::Zstd, Packing::Lz4, Packing::Snappy, Packing::SnappyBlocks];

    fn pack(packing: Packing, plain: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::default();
        match packing {
            Packing::Gzip => {
                let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
                writer.write_all(plain).unwrap();
                writer.finish().unwrap()
            }
            Packing::Zlib => {
                let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), level);
                writer.write_all(plain).unwrap();
                writer.finish().unwrap()
            }
            Packing::Zstd => zstd::encode_all(plain, 3).unwrap(),
            Packing::Lz4 => {
                let mut writer = lz4_flex::frame::FrameEncoder::new(Vec::new());
                writer.write_all(plain).unwrap();
                writer.finish().unwrap()
            }
            Packing::Snappy => {
                let mut writer = snap::write::FrameEncoder::new(Vec::new());
                writer.write_all(plain).unwrap();
                writer.into_inner().unwrap()
            }
            Packing::SnappyBlocks => {
                let mut packed = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01".to_vec();
                for chunk in plain.chunks(1000) {
                    let block = snap::raw::Encoder::new().compress_vec(chunk).unwrap();
                    packed.extend((block.len() as u32).to_be_bytes());
                    packed.extend(block);
                }
                packed
            }
        }
    }

    fn unpacked(payload: &[u8], limit: usize) -> Result<Vec<u8>, &'static str> {
        let mut out = b"something else".to_vec();
        let packing = Packing::of(payload).expect("packed");
        packing.unpack(payload, limit, &mut out).map(|()| out).map_err(|error| error.reason())
    }

    #[test]
    fn what_nobody_has_packed_is_left_alone() {
        for payload in ["", "{", "x", "xyz", "(a)", "plain", "\u{4}", "x = 1"] {
            assert_eq!(Packing::of(payload.as_bytes()), None, "{payload}");
        }
    }

    #[test]
    fn no_more_is_unpacked_than_the_limit_allows() {
        let bomb = vec![b'0'; 10 << 20];
        for packing in ALL {
            let packed = pack(packing, &bomb);
            assert_eq!(unpacked(&packed, 1 << 20), Err("unpacked_too_large"), "{packing:?}");
            assert_eq!(unpacked(&packed, bomb.len()).as_deref(), Ok(bomb.as_slice()), "{packing:?}");
            assert_eq!(unpacked(&packed, bomb.len() - 1), Err("unpacked_too_large"), "{packing:?}");
        }
        // A window of a gigabyte is refused before it is made.
        let huge = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0x01, 0x00, 0x00];
        assert_eq!(unpacked(&huge, 1 << 20), Err("bad_compression"));
        let lies =
            [&b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"[..], &[0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x0f]]
                .concat();
        assert_eq!(unpacked(&lies, 1 << 20), Err("unpacked_too_large"));
    }

    #[test]
    fn what_is_cut_short_is_broken() {
        let plain = "{\"a\": 1, \"b\": \"some text that is long enough\"}\n".repeat(40);
        // Snappy's frames have no end: one that is cut between two chunks is whole.
        for packing in [Packing::Gzip, Packing::Zlib, Packing::Zstd, Packing::Lz4] {
            let packed = pack(packing, plain.as_bytes());
            for end in 4..packed.len() {
                let found = unpacked(&packed[..end], 1 << 20);
                assert!(matches!(found, Err("bad_compression" | "empty")), "{packing:?}, {end} bytes: {found:?}");
            }
        }
        // Copies from before its beginning, and no end: a fuzzer's.
        let odd = [b"x\xda{".as_slice(), &[0x81; 30], b"+\x81\x81B@y\\\"\\n"].concat();
        assert_eq!(unpacked(&odd, 1 << 20), Err("bad_compression"));
    }

    #[test]
    fn raw_snappy_is_all_of_a_payload_or_nothing() {
        let plain = "{\"a\": 1, \"b\": \"some text that is long enough\"}".repeat(20);
        let packed = snap::raw::Encoder::new().compress_vec(plain.as_bytes()).unwrap();
        assert_eq!(raw_snappy(&packed, plain.len()).as_deref(), Some(plain.as_bytes()));
        assert_eq!(raw_snappy(&packed, plain.len() - 1), None, "more than is allowed");
        assert_eq!(raw_snappy(&packed[..packed.len() - 1], plain.len()), None);
        assert_eq!(raw_snappy(&[&packed[..], b"x"].concat(), plain.len()), None);
        for other in [&b""[..], b"\0", b"plain", b"\xff\xff\xff\xff\x0f", b"\xc3\xa4"] {
            assert_eq!(raw_snappy(other, 1 << 30), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_packed_is_found_again(plain in prop::collection::vec(any::<u8>(), 1..3000)) {
            for packing in ALL {
                let packed = pack(packing, &plain);
                prop_assert_eq!(Packing::of(&packed), Some(packing));
                let found = unpacked(&packed, 3000);
                prop_assert_eq!(found.as_deref(), Ok(plain.as_slice()));
            }
        }

        #[test]
        fn what_is_broken_is_no_panic(
            plain in prop::collection::vec(any::<u8>(), 1..300),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
        ) {
            for packing in ALL {
                let mut packed = pack(packing, &plain);
                for (at, byte) in &edits {
                    let at = at.index(packed.len());
                    packed[at] = *byte;
                }
                packed.truncate(cut.index(packed.len()) + 1);
                if let Some(packing) = Packing::of(&packed) {
                    let _ = packing.unpack(&packed, 4096, &mut Vec::new());
                }
            }
        }
    }
}
