//! What an element's own style says of whether it is seen. Style sheets are not asked.

/// Whether a `style` hides what has it.
pub(super) fn hides(style: &str) -> bool {
    let style = style.to_ascii_lowercase();
    style.split(';').filter_map(|declaration| declaration.split_once(':')).any(|(property, value)| {
        let value = value.trim().trim_end_matches("!important").trim();
        let is_nothing = || {
            let number = value.trim_end_matches(|unit: char| unit.is_ascii_alphabetic() || unit == '%');
            number.trim().parse::<f32>().is_ok_and(|number| number == 0.0)
        };
        match property.trim() {
            "display" => value == "none",
            "visibility" => matches!(value, "hidden" | "collapse"),
            "opacity" | "font-size" => is_nothing(),
            // Of Outlook.
            "mso-hide" => value == "all",
            _ => false,
        }
    })
}
