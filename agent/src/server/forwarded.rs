//! Whom a proxy speaks for: `Forwarded` (RFC 7239) and `X-Forwarded-For`, taken from proxies that the config names and from
//! nobody else. Pure.

use crate::config::Network;
use axum::http::HeaderMap;
use std::net::{IpAddr, SocketAddr};

const FORWARDED: &str = "forwarded";
const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The address that a request comes from: that of the last caller before the trusted proxies, as the nearest of them that can
/// be told.
pub fn origin(peer: SocketAddr, headers: &HeaderMap, trusted: &[Network]) -> SocketAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(peer.ip()) {
        return peer;
    }
    let forwarded = told(headers, FORWARDED, |all| all.split(',').map(node_of_element).collect());
    let listed = told(headers, X_FORWARDED_FOR, |all| all.split(',').map(node).collect());
    let hops = match (forwarded, listed) {
        (Some(hops), None) | (None, Some(hops)) => hops,
        // A proxy adds to one of them and passes the other on, as its caller wrote it.
        (Some(one), Some(other)) if one.last() == other.last() => one,
        _ => return peer,
    };
    let mut origin = peer;
    for hop in hops.into_iter().rev() {
        // What cannot be read was not written by a proxy that is trusted.
        let Some(hop) = hop else { break };
        origin = hop;
        if !is_trusted(hop.ip()) {
            break;
        }
    }
    origin
}

type Hops = Vec<Option<SocketAddr>>;

fn told(headers: &HeaderMap, name: &str, hops: impl Fn(&str) -> Hops) -> Option<Hops> {
    let lines: Vec<_> = headers.get_all(name).iter().map(|line| hops(line.to_str().unwrap_or_default())).collect();
    (!lines.is_empty()).then(|| lines.concat())
}

/// `for=192.0.2.43; proto=http`, `for="[2001:db8::1]:4711"`.
fn node_of_element(element: &str) -> Option<SocketAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    node(value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value))
}

/// An address, perhaps with a port.
fn node(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let alone = |address: IpAddr| SocketAddr::new(address, 0);
    let found: Option<SocketAddr> = text.parse().ok().or_else(|| bare.parse().ok().map(alone));
    found.map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn from(peer: &str, lines: &[(&'static str, &'static str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let trusted = ["10.0.0.0/8", "::1"].map(|network| network.parse().unwrap());
        origin(SocketAddr::new(peer.parse().unwrap(), 7), &headers, &trusted).ip().to_string()
    }

    #[test]
    fn a_trusted_proxy_says_who_calls_and_nobody_else_does() {
        let (proxy, other) = ("10.0.0.1", "192.0.2.1");
        for (peer, lines, expected) in [
            (proxy, &[][..], proxy),
            (proxy, &[(X_FORWARDED_FOR, "203.0.113.7")], "203.0.113.7"),
            (other, &[(X_FORWARDED_FOR, "203.0.113.7")], other),
            (other, &[(FORWARDED, "for=203.0.113.7")], other),
            // What the caller wrote stands before what the proxy added.
            (proxy, &[(X_FORWARDED_FOR, "198.51.100.1, 203.0.113.7")], "203.0.113.7"),
            (proxy, &[(X_FORWARDED_FOR, "198.51.100.1"), (X_FORWARDED_FOR, "203.0.113.7:5,10.0.0.9")], "203.0.113.7"),
            (proxy, &[(X_FORWARDED_FOR, "10.0.0.8, 10.0.0.9")], "10.0.0.8"),
            (proxy, &[(X_FORWARDED_FOR, "203.0.113.7, nonsense, 10.0.0.9")], "10.0.0.9"),
            (proxy, &[(X_FORWARDED_FOR, "")], proxy),
            ("::1", &[(FORWARDED, "for=198.51.100.1, For=\"[2001:db8::1]:4711\";proto=https")], "2001:db8::1"),
            ("::1", &[(FORWARDED, "by=10.0.0.1;for=203.0.113.7")], "203.0.113.7"),
            ("::1", &[(FORWARDED, "for=_hidden")], "::1"),
            ("::1", &[(FORWARDED, "for=unknown, for=10.0.0.3")], "10.0.0.3"),
            // One of the two is the caller's own.
            (proxy, &[(FORWARDED, "for=198.51.100.1"), (X_FORWARDED_FOR, "203.0.113.7")], proxy),
            (proxy, &[(FORWARDED, "for=203.0.113.7"), (X_FORWARDED_FOR, "203.0.113.7")], "203.0.113.7"),
            ("::ffff:10.0.0.1", &[(X_FORWARDED_FOR, "::ffff:203.0.113.7")], "203.0.113.7"),
        ] {
            assert_eq!(from(peer, lines), expected, "{peer} {lines:?}");
        }
    }
}
