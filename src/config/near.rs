//! The valid value that a wrong one was probably meant to be.

use serde_json::Value as Json;

/// The nearest valid value of a kind: one of its words, a number, or a time or size with its unit.
pub(super) fn value(text: &str, variants: &[&str], kind: &Json, example: Option<&Json>) -> Option<String> {
    if !variants.is_empty() {
        return word(text, variants).map(ToOwned::to_owned);
    }
    let example = example.and_then(Json::as_str).unwrap_or_default();
    let words = kind["description"].as_str().unwrap_or_default();
    match name(kind) {
        "boolean" => truth(text).map(|truth| truth.to_string()),
        "integer" => whole(text, kind),
        "string" if words.starts_with("a time") => time(text, example),
        "string" if words.starts_with("a size") => size(text),
        _ => None,
    }
}

/// How a refusal goes on that says what a value must be.
pub(super) fn meant(nearest: Option<String>) -> String {
    nearest.map(|nearest| format!("did you mean `{nearest}`? It ")).unwrap_or_default()
}

/// The name of a schema's type, `null` apart.
pub(super) fn name(kind: &Json) -> &str {
    let one_of = || kind["type"].as_array()?.iter().filter_map(Json::as_str).find(|name| *name != "null");
    kind["type"].as_str().or_else(one_of).unwrap_or_default()
}

/// The least and the greatest that a whole number may be.
pub(super) fn bounds(kind: &Json) -> (u64, u64) {
    let most = if kind["format"] == "uint32" { u64::from(u32::MAX) } else { u64::MAX };
    (kind["minimum"].as_u64().unwrap_or(0), kind["maximum"].as_u64().unwrap_or(most))
}

/// The word that is most alike, whatever its case and its hyphens.
pub(super) fn word<'v>(text: &str, variants: &[&'v str]) -> Option<&'v str> {
    let plain = text.trim().to_lowercase().replace(['_', ' '], "-");
    let alike = |variant: &&&str| {
        // `dead` is short for `dead-letter`.
        let begins = plain.len() > 2 && (variant.starts_with(&plain) || plain.starts_with(**variant));
        if begins { 1 } else { strsim::damerau_levenshtein(variant, &plain) }
    };
    variants.iter().min_by_key(alike).filter(|nearest| alike(nearest) <= 1 + nearest.len() / 4).copied()
}

fn truth(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "1" | "t" => Some(true),
        "false" | "no" | "n" | "off" | "0" | "f" => Some(false),
        _ => None,
    }
}

/// A whole number, however it was written.
fn whole(text: &str, kind: &Json) -> Option<String> {
    let number: f64 = text.trim().replace(['_', ',', '\''], "").parse().ok()?;
    let (least, most) = bounds(kind);
    // Behind so many digits, it is not what was written.
    (number.abs() < 1e15).then(|| (number.round() as i64).max(0).cast_unsigned().clamp(least, most).to_string())
}

/// A number and what stands behind it.
fn split(text: &str) -> Option<(f64, String)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    Some((number, text[end..].trim().to_lowercase()))
}

/// A time with a unit: its own, or that of the example.
fn time(text: &str, example: &str) -> Option<String> {
    let (number, unit) = split(text)?;
    let unit = match unit.as_str() {
        "" => example.trim_start_matches(|c: char| c.is_ascii_digit()).to_owned(),
        unit if unit.starts_with("ms") || unit.starts_with("mil") => "ms".into(),
        unit => ["s", "m", "h", "d"].iter().find(|known| unit.starts_with(**known)).map(|&known| known.to_owned())?,
    };
    (number < 1e12).then(|| format!("{number}{unit}"))
}

fn size(text: &str) -> Option<String> {
    let (number, unit) = split(text)?;
    let unit = ["k", "m", "g", "t"].iter().find(|known| unit.starts_with(**known))?.to_uppercase();
    (number < 1e9).then(|| format!("{number}{unit}iB"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_are_found_by_case_hyphens_slips_and_beginnings() {
        let deliveries = ["at-least-once", "exactly-once"];
        for (text, meant) in [
            ("exactly_once", Some("exactly-once")),
            ("Exactly-Once", Some("exactly-once")),
            ("exactly once", Some("exactly-once")),
            ("exactly", Some("exactly-once")),
            ("exactly_once_v2", Some("exactly-once")),
            ("at-lest-once", Some("at-least-once")),
            ("never", None),
        ] {
            assert_eq!(word(text, &deliveries), meant, "{text}");
        }
    }

    #[test]
    fn numbers_times_and_sizes_are_found_behind_other_ways_to_write_them() {
        let near = |text: &str, kind: &Json, example: &str| value(text, &[], kind, Some(&json!(example)));
        let whole = json!({ "type": "integer", "minimum": 1 });
        for (text, meant) in [("1e3", "1000"), ("1_000", "1000"), ("512.0", "512"), ("-4", "1"), ("0", "1")] {
            assert_eq!(near(text, &whole, "").as_deref(), Some(meant), "{text}");
        }
        assert_eq!(near("many", &whole, ""), None);
        let time = json!({ "type": "string", "description": "a time with its unit" });
        for (text, meant) in [("20", "20ms"), ("20 msecs", "20ms"), ("3 sec", "3s")] {
            assert_eq!(near(text, &time, "20ms").as_deref(), Some(meant), "{text}");
        }
        assert_eq!(near("30", &time, "10s").as_deref(), Some("30s"));
        assert_eq!(near("soon", &time, "20ms"), None);
        let size = json!({ "type": ["string", "integer"], "description": "a size in bytes" });
        assert_eq!(near("64 megabytes", &size, "64MiB").as_deref(), Some("64MiB"));
        let truth = json!({ "type": "boolean" });
        assert_eq!(near("yes", &truth, "").as_deref(), Some("true"));
        assert_eq!(near("Off", &truth, "").as_deref(), Some("false"));
    }
}
