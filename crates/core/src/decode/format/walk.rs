//! Walking through a JSON document.

/// Two ways to walk through a document: by its index, and the patient one.
pub(super) trait Walk {
    fn byte(&self, at: usize) -> Option<u8>;
    fn space(&self, at: usize) -> usize;
    /// What follows the value at `at`.
    fn skip(&self, at: usize) -> Option<usize>;
    /// Whether the key at `at` is `name`, and where its value begins.
    fn key(&self, at: usize, name: &str) -> Option<(bool, usize)>;
}
