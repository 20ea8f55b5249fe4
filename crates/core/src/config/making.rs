//! What is done to a field before it is a label.

/// What a label is made of, beyond its field. In this order: `part`, `lower`, then one of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelMaking {
    /// A regular expression: its first group, or all that it matches.
    pub part: Option<String>,
    pub lower: bool,
    pub template: Option<Template>,
    /// `2xx` for 204.
    pub class: bool,
    /// Values and their names, in the order of the config; [`LabelMaking::OTHERS`] stands for all others.
    pub map: Vec<(String, String)>,
}

impl LabelMaking {
    /// In a map, every value that is not in it.
    pub const OTHERS: &str = "_";
    /// What a value is called that fits no route, or has no class.
    pub const OTHER: &str = "other";
    /// What stands for a segment of a path that names one thing among many.
    pub const ID: &str = ":id";
}

/// How a path becomes one of few.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Template {
    /// Without its query, and with `:id` for whatever looks like one.
    Path,
    /// The first of these that fits, or `other`.
    Routes(Vec<String>),
}
