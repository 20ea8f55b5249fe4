//! Which pages in browsers may read a door's answers (CORS): those of listed origins, and no others.

use axum::http::{HeaderValue, request};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember what it was allowed.
const ALLOWED_FOR: Duration = Duration::from_secs(3_600);

/// Lets pages of these origins read what is below some of the paths. Which methods and headers, the door says.
pub fn cors(origins: &[String], is_open: fn(&str) -> bool) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    let allowed =
        move |origin: &HeaderValue, request: &request::Parts| is_open(request.uri.path()) && origins.contains(origin);
    CorsLayer::new().allow_origin(AllowOrigin::predicate(allowed)).allow_credentials(true).max_age(ALLOWED_FOR)
}
