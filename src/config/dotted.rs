//! Keys as they are written with dots.

/// The key of a name in a section; outside of all sections, the section is empty.
pub(super) fn dotted(section: &str, name: &str) -> String {
    let dot = if section.is_empty() { "" } else { "." };
    format!("{section}{dot}{name}")
}
