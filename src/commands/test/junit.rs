//! The report that build servers read: the XML of `JUnit`.

use std::fmt::Write as _;

use super::Suite;

/// All suites in one document.
pub(super) fn report(suites: &[Suite]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for suite in suites {
        // To write to a text can't fail.
        let _ = add(&mut xml, suite);
    }
    xml + "</testsuites>\n"
}

fn add(xml: &mut String, Suite { name, cases }: &Suite) -> std::fmt::Result {
    let failures = cases.iter().filter(|case| !case.faults.is_empty()).count();
    let name = escaped(name);
    writeln!(xml, "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failures}\">", cases.len())?;
    for case in cases {
        write!(xml, "    <testcase classname=\"{name}\" name=\"{}\"", escaped(&case.name))?;
        let Some(first) = case.faults.first().and_then(|fault| fault.lines().next()) else {
            writeln!(xml, "/>")?;
            continue;
        };
        let (first, all) = (escaped(first), escaped(&case.faults.join("\n")));
        writeln!(xml, ">\n      <failure message=\"{first}\">{all}</failure>\n    </testcase>")?;
    }
    writeln!(xml, "  </testsuite>")
}

/// As text and attribute alike. XML has no form for most control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\n' => escaped.push('\n'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
