//! Whom a proxy that does not read what it passes on speaks for: the header of the PROXY protocol, versions 1 and 2, before
//! everything else on a connection.
//!
//! Source: <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>.

use proxy_header::{ParseConfig, ProxyHeader};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What each header of version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What each header of version 1 begins with: a line of text.
const WORD: &[u8; 6] = b"PROXY ";
/// Bytes of the longest line of version 1, its end included.
const LONGEST_LINE: usize = 107;
/// What comes before the addresses of version 2, their length included.
const FIXED: usize = 16;
/// Addresses and all that a proxy tells beside them; more than anyone sends, and read before the caller is known.
const LONGEST_REST: usize = 4 << 10;

/// Reads the header off a connection, and not a byte behind it: whom the proxy speaks for; `None` if for itself, as its health
/// checks do, or for somebody without an address of the Internet.
///
/// # Errors
/// What is wrong with the header, for people.
pub async fn read_header(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, String> {
    // Shorter than the shortest header of either version.
    let mut header = vec![0; SIGNATURE.len()];
    read(stream, &mut header).await?;
    if header == SIGNATURE {
        header.resize(FIXED, 0);
        read(stream, &mut header[SIGNATURE.len()..]).await?;
        let rest = usize::from(u16::from_be_bytes([header[FIXED - 2], header[FIXED - 1]]));
        if rest > LONGEST_REST {
            return Err(format!("its PROXY header has {rest} bytes; {LONGEST_REST} are read at most"));
        }
        header.resize(FIXED + rest, 0);
        read(stream, &mut header[FIXED..]).await?;
        return source(&header);
    }
    if !header.starts_with(WORD) {
        return Err("it begins without a PROXY header, which this proxy has to send".into());
    }
    while !header.ends_with(b"\r\n") {
        if header.len() == LONGEST_LINE {
            return Err(format!("the line of its PROXY header is longer than {LONGEST_LINE} bytes"));
        }
        let end = header.len();
        header.push(0);
        read(stream, &mut header[end..]).await?;
    }
    source(&header)
}

async fn read(stream: &mut (impl AsyncRead + Unpin), into: &mut [u8]) -> Result<(), String> {
    let whole = stream.read_exact(into).await;
    whole.map(|_| ()).map_err(|error| format!("its PROXY header is not whole: {error}"))
}

fn source(header: &[u8]) -> Result<Option<SocketAddr>, String> {
    let parsed = ProxyHeader::parse(header, ParseConfig::default());
    let (header, _) = parsed.map_err(|error| format!("its PROXY header cannot be read: {error}"))?;
    Ok(header.proxied_address().map(|address| address.source))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of these bytes, and what is left of them.
    async fn of(bytes: &[u8]) -> (Result<Option<SocketAddr>, String>, usize) {
        let mut left = bytes;
        let told = read_header(&mut left).await;
        (told, left.len())
    }

    /// A header of version 2 as the protocol's document lays it out.
    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([0x20 | command, family]);
        header.extend((rest.len() as u16).to_be_bytes());
        header.extend(rest);
        header
    }

    #[tokio::test]
    async fn both_versions_name_the_caller_and_what_follows_is_left() {
        let four = [203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x67, 0x26, 0x14];
        let six = "2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets();
        let six = [&six[..], &six, &[0x12, 0x67, 0x26, 0x14]].concat();
        // Something that a proxy tells beside the addresses: of the kind 4, "nothing", three bytes long.
        let more = [&four[..], &[4, 0, 3, 1, 2, 3]].concat();
        for (header, expected) in [
            (b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 9748\r\n".to_vec(), Some("203.0.113.7:4711")),
            (b"PROXY TCP6 2001:db8::7 ::1 4711 9748\r\n".to_vec(), Some("[2001:db8::7]:4711")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (binary(1, 0x11, &four), Some("203.0.113.7:4711")),
            (binary(1, 0x11, &more), Some("203.0.113.7:4711")),
            (binary(1, 0x21, &six), Some("[2001:db8::7]:4711")),
            // A health check of the proxy's own.
            (binary(0, 0x00, &[]), None),
            (binary(0, 0x11, &four), None),
            (binary(1, 0x31, &[0; 216]), None),
        ] {
            let bytes = [&header[..], b"POST / HTTP/1.1\r\n\r\n"].concat();
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(of(&bytes).await, (Ok(expected), 19), "{header:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let long = [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat();
        let huge = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat();
        for (bytes, expected) in [
            (&b"POST /api/logs HTTP/1.1\r\n"[..], "without a PROXY header"),
            (b"PROXY TCP4 203.0.113.7", "not whole"),
            (b"", "not whole"),
            (b"PROXY TCP4 here there 1 2\r\n", "its PROXY header cannot be read"),
            (b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 99999\r\n", "its PROXY header cannot be read"),
            (&long, "longer than 107"),
            (&huge, "4096 are read at most"),
            (&binary(1, 0x11, &[1, 2, 3]), "its PROXY header cannot be read"),
            (&binary(7, 0x11, &[0; 12]), "its PROXY header cannot be read"),
        ] {
            let (told, _) = of(bytes).await;
            let error = told.expect_err("no header");
            assert!(error.contains(expected), "{error} for {bytes:?}");
        }
    }
}
