//! A request's body: read in time and within its limits, and unpacked within them too.

use super::budget::{Budget, Share};
use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt;
use std::io::{self, Read};
use std::time::Duration;

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is unpacked at a time.
const PIECE: usize = 64 << 10;
/// 8 MiB: more memory than this a sender of logs does not ask for.
const LARGEST_WINDOW: u32 = 23;

/// What says how the message of a gRPC call is packed …
pub const CALL_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
/// … if it is: the message begins with a byte that says so, and its length.
const FRAME_HEAD: usize = 5;

/// Why a body cannot be used: the status, and one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable(pub StatusCode, pub String);

/// A body, and the memory that it takes of all requests' together.
pub struct Content {
    pub bytes: Vec<u8>,
    pub share: Share,
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packed {
    Not,
    Gzip,
    Deflate,
    Zstd,
}

/// Whether the body says to be of one of these media types; one that says nothing is of the first. `+json` is any type
/// that ends so.
///
/// # Errors
/// 415, if it says to be something else.
pub fn is_one_of<'a>(headers: &HeaderMap, types: &[&'a str]) -> Result<&'a str, Unusable> {
    let Some(first) = types.first() else { return Ok("") };
    let Some(header) = headers.get(CONTENT_TYPE) else { return Ok(first) };
    let said = header.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let fits = |kind: &&&str| said == **kind || (kind.starts_with('+') && said.ends_with(**kind));
    let unknown = || Unusable(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("Content-Type has to be {}", types[0]));
    types.iter().find(fits).copied().ok_or_else(unknown)
}

/// Reads and unpacks a body of `limit` bytes at most, packed and unpacked.
///
/// # Errors
/// 413: it is too large. 408: it comes too slowly. 415: it is packed in a way that nobody here knows. 400: it cannot be
/// unpacked, or the connection broke off. 503: too many bodies are being read.
pub async fn read(headers: &HeaderMap, body: Body, limit: usize, budget: &Budget) -> Result<Content, Unusable> {
    let packed = packed(headers.get(CONTENT_ENCODING))?;
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let mut share = budget.take(0).ok_or_else(busy)?;
    let bytes = collect(body, limit, length.unwrap_or(0), &mut share).await?;
    unpacked(packed, bytes, limit, share).await
}

/// Reads the one message of a gRPC call, of `limit` bytes at most, packed and unpacked. What is returned is a frame that is
/// not packed.
///
/// # Errors
/// As those of [`read`].
pub async fn read_call(headers: &HeaderMap, body: Body, limit: usize, budget: &Budget) -> Result<Content, Unusable> {
    let packed = packed(headers.get(CALL_ENCODING))?;
    let mut share = budget.take(0).ok_or_else(busy)?;
    let mut bytes = collect(body, FRAME_HEAD + limit, 0, &mut share).await?;
    let packed = match bytes.first_chunk::<FRAME_HEAD>() {
        Some([kind @ 0..=1, length @ ..]) if u32::from_be_bytes(*length) as usize == bytes.len() - FRAME_HEAD => {
            if *kind == 0 {
                Packed::Not
            } else {
                packed
            }
        }
        _ => return Err(Unusable(StatusCode::BAD_REQUEST, "the call is not one whole message".into())),
    };
    bytes.drain(..FRAME_HEAD);
    let mut content = unpacked(packed, bytes, limit, share).await?;
    // It is no longer than the limit, which is far below this.
    let length = u32::try_from(content.bytes.len()).unwrap_or(u32::MAX);
    content.bytes.splice(..0, [[0].as_slice(), &length.to_be_bytes()].concat());
    Ok(content)
}

async fn unpacked(packed: Packed, bytes: Vec<u8>, limit: usize, mut share: Share) -> Result<Content, Unusable> {
    if packed == Packed::Not {
        return Ok(Content { bytes, share });
    }
    let unpacked = tokio::task::spawn_blocking(move || {
        let unpacked = unpack(packed, &bytes, limit, &mut share);
        unpacked.map(|bytes| Content { bytes, share })
    });
    // It cannot panic; if it did, the client may try again.
    unpacked.await.unwrap_or_else(|_| Err(busy()))
}

fn packed(header: Option<&HeaderValue>) -> Result<Packed, Unusable> {
    let Some(header) = header else { return Ok(Packed::Not) };
    match header.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Packed::Not),
        "gzip" | "x-gzip" => Ok(Packed::Gzip),
        "deflate" => Ok(Packed::Deflate),
        "zstd" => Ok(Packed::Zstd),
        _ => Err(Unusable(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Encoding (of gRPC: grpc-encoding) has to be gzip, zstd, deflate or identity".into(),
        )),
    }
}

async fn collect(body: Body, limit: usize, expected: usize, share: &mut Share) -> Result<Vec<u8>, Unusable> {
    tokio::time::timeout(PATIENCE, all_of(body, limit, expected, share)).await.unwrap_or_else(|_| {
        let seconds = PATIENCE.as_secs();
        Err(Unusable(StatusCode::REQUEST_TIMEOUT, format!("the body did not come within {seconds} s")))
    })
}

async fn all_of(mut body: Body, limit: usize, expected: usize, share: &mut Share) -> Result<Vec<u8>, Unusable> {
    let mut bytes = Vec::new();
    if share.grow(expected) {
        bytes.reserve(expected);
    } else {
        return Err(busy());
    }
    let mut reserved = expected;
    while let Some(frame) = body.frame().await {
        let broken = |_| Unusable(StatusCode::BAD_REQUEST, "the body broke off".into());
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        let more = (bytes.len() + data.len()).saturating_sub(reserved);
        if !share.grow(more) {
            return Err(busy());
        }
        reserved += more;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn unpack(packed: Packed, bytes: &[u8], limit: usize, share: &mut Share) -> Result<Vec<u8>, Unusable> {
    match packed {
        Packed::Not => Ok(bytes.to_vec()),
        Packed::Gzip => unpack_from(MultiGzDecoder::new(bytes), limit, share),
        // Both are sent under this name; a zlib head is a multiple of 31.
        Packed::Deflate => match bytes {
            [first, second, ..] if first & 0xf == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0 => {
                unpack_from(ZlibDecoder::new(bytes), limit, share)
            }
            _ => unpack_from(DeflateDecoder::new(bytes), limit, share),
        },
        Packed::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(|error| broken(&error))?;
            decoder.window_log_max(LARGEST_WINDOW).map_err(|error| broken(&error))?;
            unpack_from(decoder, limit, share)
        }
    }
}

/// Unpacks a body that is one block of snappy, in `limit` bytes at most.
///
/// # Errors
/// 413: it is too large. 400: it is no such block. 503: too many bodies are being read.
pub fn unsnap(content: Content, limit: usize) -> Result<Content, Unusable> {
    let damaged = |error: snap::Error| broken(&io::Error::other(error));
    let Content { bytes, mut share } = content;
    let length = snap::raw::decompress_len(&bytes).map_err(damaged)?;
    if length > limit {
        return Err(too_large(limit));
    }
    if !share.grow(length) {
        return Err(busy());
    }
    let bytes = snap::raw::Decoder::new().decompress_vec(&bytes).map_err(damaged)?;
    Ok(Content { bytes, share })
}

fn unpack_from(mut reader: impl Read, limit: usize, share: &mut Share) -> Result<Vec<u8>, Unusable> {
    let (mut all, mut piece) = (Vec::new(), vec![0; PIECE]);
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return Ok(all),
            Ok(count) if all.len() + count > limit => return Err(too_large(limit)),
            Ok(count) if !share.grow(count) => return Err(busy()),
            Ok(count) => all.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(broken(&error)),
        }
    }
}

fn broken(error: &io::Error) -> Unusable {
    Unusable(StatusCode::BAD_REQUEST, format!("the body cannot be unpacked: {error}"))
}

fn too_large(limit: usize) -> Unusable {
    let reason = format!("the body has more than {limit} bytes, as it came or unpacked");
    Unusable(StatusCode::PAYLOAD_TOO_LARGE, reason)
}

fn busy() -> Unusable {
    Unusable(StatusCode::SERVICE_UNAVAILABLE, "too many requests are being read; try again".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use std::io::Write;

    const LIMIT: usize = 100_000;

    async fn read_packed(encoding: &str, bytes: Vec<u8>, budget: usize) -> Result<Vec<u8>, Unusable> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, encoding.parse().unwrap());
        let budget = Budget::new(budget);
        let read = read(&headers, Body::from(bytes), LIMIT, &budget).await.map(|read| read.bytes);
        assert_eq!(budget.taken(), 0, "all of it came back");
        read
    }

    fn packings(text: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(text).unwrap();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(text).unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(text).unwrap();
        let zstd = zstd::encode_all(text, 3).unwrap();
        vec![
            ("gzip", gzip.finish().unwrap()),
            ("Deflate", zlib.finish().unwrap()),
            ("deflate", raw.finish().unwrap()),
            ("zstd", zstd),
        ]
    }

    #[tokio::test]
    async fn bodies_are_unpacked_whatever_packed_them() {
        let text = b"a log event ".repeat(1_000);
        assert_eq!(read_packed("identity", text.clone(), 1 << 20).await.unwrap(), text);
        for (encoding, packed) in packings(&text) {
            assert_eq!(read_packed(encoding, packed.clone(), 1 << 20).await.unwrap(), text, "{encoding}");
            let cut = read_packed(encoding, packed[..packed.len() / 2].to_vec(), 1 << 20).await;
            assert_eq!(cut.unwrap_err().0, StatusCode::BAD_REQUEST, "{encoding}");
        }
        assert_eq!(read_packed("br", text, 1 << 20).await.unwrap_err().0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }

    #[tokio::test]
    async fn what_is_too_large_is_refused_before_it_takes_memory() {
        let bomb = vec![0; 50 << 20];
        for (encoding, packed) in packings(&bomb) {
            assert!(packed.len() < LIMIT);
            assert_eq!(
                read_packed(encoding, packed.clone(), 1 << 20).await.unwrap_err().0,
                StatusCode::PAYLOAD_TOO_LARGE
            );
            let short = read_packed(encoding, packed, 60_000).await.unwrap_err();
            assert_eq!(short.0, StatusCode::SERVICE_UNAVAILABLE, "{encoding}: {short:?}");
        }
        let over = read_packed("identity", vec![0; LIMIT + 1], 1 << 20).await.unwrap_err();
        assert_eq!(over.0, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_window_that_asks_for_much_memory_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(b"x").unwrap();
        let packed = encoder.finish().unwrap();
        let refused = read_packed("zstd", packed, 1 << 20).await.unwrap_err();
        assert_eq!(refused.0, StatusCode::BAD_REQUEST, "{refused:?}");
    }

    #[tokio::test]
    async fn the_message_of_a_call_is_read_and_unpacked_within_the_same_limits() {
        let call = async |encoding: &'static str, head: &[u8], message: &[u8]| {
            let headers = HeaderMap::from_iter([(CALL_ENCODING, HeaderValue::from_static(encoding))]);
            let budget = Budget::new(1 << 20);
            let body = Body::from([head, message].concat());
            let read = read_call(&headers, body, LIMIT, &budget).await.map(|content| content.bytes);
            assert_eq!(budget.taken(), 0, "all of it came back");
            read.map_err(|unusable| unusable.0)
        };
        let head = |kind: u8, message: &[u8]| [&[kind][..], &(message.len() as u32).to_be_bytes()].concat();
        let text = b"a log record ".repeat(1_000);
        let expected = [head(0, &text), text.clone()].concat();
        assert_eq!(call("gzip", &head(0, &text), &text).await.as_ref(), Ok(&expected), "it says that it is not packed");
        for (encoding, packed) in packings(&text) {
            assert_eq!(call(encoding, &head(1, &packed), &packed).await.as_ref(), Ok(&expected), "{encoding}");
        }
        for (encoding, bomb) in packings(&vec![0; 50 << 20]) {
            assert_eq!(call(encoding, &head(1, &bomb), &bomb).await, Err(StatusCode::PAYLOAD_TOO_LARGE), "{encoding}");
        }
        for bad in
            [&b""[..], &[0, 0, 0], &[2, 0, 0, 0, 1], &[0, 0, 0, 0, 2], &[0, 0, 0, 0, 0], &[0, 255, 255, 255, 255]]
        {
            assert_eq!(call("identity", bad, b"x").await, Err(StatusCode::BAD_REQUEST), "{bad:?}");
        }
        assert_eq!(call("br", &head(1, b"x"), b"x").await, Err(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }

    #[test]
    fn a_block_of_snappy_is_unpacked_within_the_limit() {
        let budget = Budget::new(1 << 20);
        let unpack = |bytes: Vec<u8>, limit: usize| {
            let content = Content { bytes, share: budget.take(0).unwrap() };
            unsnap(content, limit).map(|content| content.bytes).map_err(|unusable| unusable.0)
        };
        let text = b"a log event ".repeat(1_000);
        let packed = snap::raw::Encoder::new().compress_vec(&text).unwrap();
        assert_eq!(unpack(packed.clone(), LIMIT), Ok(text));
        assert_eq!(unpack(packed.clone(), 11_999), Err(StatusCode::PAYLOAD_TOO_LARGE));
        assert_eq!(unpack(packed[..20].to_vec(), LIMIT), Err(StatusCode::BAD_REQUEST));
        assert_eq!(unpack(vec![0xff; 9], LIMIT), Err(StatusCode::BAD_REQUEST));
        let claims = vec![0xff, 0xff, 0x7f, 0];
        assert_eq!(
            unpack(claims, 1 << 21),
            Err(StatusCode::SERVICE_UNAVAILABLE),
            "it says that it is larger than there is room"
        );
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn a_type_is_known_by_its_name_alone() {
        let with = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, text.parse().unwrap());
            is_one_of(&headers, &["application/json", "+json"]).map_err(|unusable| unusable.0)
        };
        assert_eq!(with("application/JSON; charset=utf-8"), Ok("application/json"));
        assert_eq!(with("application/cloudevents+json"), Ok("+json"));
        assert_eq!(with("text/plain"), Err(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        assert_eq!(is_one_of(&HeaderMap::new(), &["application/json"]), Ok("application/json"));
    }
}
