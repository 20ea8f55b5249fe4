//! Rendering a page of 100,000 series.
fn main() {}
