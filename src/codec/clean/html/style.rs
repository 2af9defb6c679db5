//! What an element's own style says of whether it is seen. Style sheets are not asked.

/// What a `style` says; `None` where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Style {
    /// Whether there is nothing of it, and of what is in it.
    pub gone: Option<bool>,
    /// Whether it is there, but not drawn.
    pub unseen: Option<bool>,
    /// Whether its letters have no size.
    pub tiny: Option<bool>,
}

impl Style {
    pub fn of(style: &str) -> Self {
        let style = without_comments(&style.to_ascii_lowercase());
        let [mut display, mut opacity, mut mso_hide, mut visibility, mut font_size] = <[Last; 5]>::default();
        for (property, value) in style.split(';').filter_map(|declaration| declaration.split_once(':')) {
            let (value, is_important) = match value.split_once('!') {
                Some((value, mark)) if mark.trim() == "important" => (value.trim(), true),
                Some(_) => continue,
                None => (value.trim(), false),
            };
            let (last, says) = match property.trim() {
                "display" if !value.is_empty() => (&mut display, Some(Says::hide_if(value == "none"))),
                "opacity" => (&mut opacity, number(value).map(|(number, _)| Says::hide_if(number <= 0.0))),
                // Of Outlook.
                "mso-hide" => (&mut mso_hide, Some(Says::hide_if(value == "all"))),
                "visibility" => (&mut visibility, visibility_says(value)),
                "font-size" => (&mut font_size, font_size_says(value)),
                _ => continue,
            };
            if let Some(says) = says {
                last.hear(says, is_important);
            }
        }
        let is_gone = [&display, &opacity, &mso_hide].iter().any(|last| last.hides() == Some(true));
        Self {
            gone: if is_gone { Some(true) } else { display.hides() },
            unseen: visibility.hides(),
            tiny: font_size.hides(),
        }
    }
}

/// What a declaration says.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Says {
    Hide,
    Show,
    /// As what is around it.
    #[default]
    AsAround,
}

impl Says {
    fn hide_if(hides: bool) -> Self {
        if hides { Self::Hide } else { Self::Show }
    }
}

/// What the last declaration of a property says; an important one is only followed by another one.
#[derive(Default)]
struct Last {
    says: Says,
    is_important: bool,
}

impl Last {
    fn hear(&mut self, says: Says, is_important: bool) {
        if is_important || !self.is_important {
            *self = Self { says, is_important };
        }
    }

    fn hides(&self) -> Option<bool> {
        (self.says != Says::AsAround).then_some(self.says == Says::Hide)
    }
}

fn without_comments(style: &str) -> String {
    let mut parts = style.split("/*");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    // One without an end goes on to the end.
    parts.filter_map(|part| part.split_once("*/")).for_each(|(_, behind)| kept.push_str(behind));
    kept
}

/// A number and its unit.
fn number(value: &str) -> Option<(f32, &str)> {
    let number = value.trim_end_matches(|unit: char| unit.is_ascii_alphabetic() || unit == '%');
    Some((number.trim().parse().ok()?, &value[number.len()..]))
}

/// `None` for what is no value.
fn visibility_says(value: &str) -> Option<Says> {
    match value {
        "hidden" | "collapse" => Some(Says::Hide),
        "visible" | "initial" => Some(Says::Show),
        "inherit" | "unset" | "revert" => Some(Says::AsAround),
        _ => None,
    }
}

/// `None` for what is no value.
fn font_size_says(value: &str) -> Option<Says> {
    if let Some((number, unit)) = number(value) {
        return match unit {
            _ if number < 0.0 => None,
            _ if number <= 0.0 => Some(Says::Hide),
            // A part of the size around.
            "em" | "%" | "ex" | "ch" => Some(Says::AsAround),
            _ => Some(Says::Show),
        };
    }
    match value {
        "smaller" | "larger" | "inherit" | "unset" | "revert" => Some(Says::AsAround),
        "small" | "medium" | "large" | "initial" => Some(Says::Show),
        // `x-small`, `xx-large`, `calc(1px + 1em)`.
        value if ["-small", "-large", ")"].iter().any(|end| value.ends_with(end)) => Some(Says::Show),
        _ => None,
    }
}
