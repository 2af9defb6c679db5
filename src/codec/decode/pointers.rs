//! JSON pointers (RFC 6901), all found in one walk through a document.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Some pointers, as a tree of their steps. Only the objects on the way are read; so neither depth nor numbers elsewhere
/// matter.
///
/// Where an array stands, `*` is each of its elements.
#[derive(Clone, Debug, Default)]
pub(super) struct Pointers {
    count: usize,
    root: Step,
}

#[derive(Clone, Debug, Default)]
struct Step {
    /// The pointers that end here.
    ends: Vec<usize>,
    /// Where the others go on.
    next: Vec<(String, Step)>,
}

/// Why nothing was found.
#[derive(Debug)]
pub(super) enum NotFound {
    NotJson(serde_json::Error),
    NotAnObject,
}

/// A value that stands at a pointer, as it is written.
#[derive(Clone, Debug)]
pub(super) struct Found<'a> {
    /// Which elements each `*` on the way was; `None`: it was the name of a field.
    pub elements: Vec<Option<usize>>,
    pub value: &'a RawValue,
}

impl Found<'_> {
    /// The pointer that leads to this value alone.
    pub fn field(&self, pointer: &str) -> String {
        let mut elements = self.elements.iter();
        let names = pointer.split('/').map(|name| {
            let element = if name == EACH { elements.next().copied().flatten() } else { None };
            element.map_or_else(|| name.to_owned(), |element| element.to_string())
        });
        names.collect::<Vec<_>>().join("/")
    }
}

/// What stands at each pointer, in the order of the document.
type All<'a> = [Vec<Found<'a>>];

/// What each `*` on the way to a step was.
type Way = Vec<Option<usize>>;

/// Each element.
const EACH: &str = "*";

impl Pointers {
    /// Adds a pointer, and tells its place in what is found.
    pub fn add(&mut self, pointer: &str) -> usize {
        let mut step = &mut self.root;
        for name in pointer.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~")) {
            let known = step.next.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
                step.next.push((name, Step::default()));
                step.next.len() - 1
            });
            step = &mut step.next[known].1;
        }
        step.ends.push(self.count);
        self.count += 1;
        self.count - 1
    }

    /// Finds what stands at each in a JSON object.
    ///
    /// # Errors
    /// When the text is none.
    pub fn find<'a>(&self, json: &'a str) -> Result<Vec<Vec<Found<'a>>>, NotFound> {
        let mut found = vec![Vec::new(); self.count];
        if self.root.walk(json, &mut Way::new(), &mut found).is_ok() {
            return Ok(found);
        }
        let value: &RawValue = serde_json::from_str(json).map_err(NotFound::NotJson)?;
        if value.get().starts_with('{') { Ok(vec![Vec::new(); self.count]) } else { Err(NotFound::NotAnObject) }
    }
}

impl Step {
    /// Reads an object. One with a key that is no text has nothing that can be found.
    fn walk<'a>(&self, object: &'a str, way: &mut Way, found: &mut All<'a>) -> serde_json::Result<()> {
        let mut deserializer = serde_json::Deserializer::from_str(object);
        deserializer.deserialize_map(Fields { step: self, way, found })?;
        deserializer.end()
    }

    /// A value stands here; of several of one name, the last one counts.
    fn reach<'a>(&self, value: &'a RawValue, way: &mut Way, found: &mut All<'a>) {
        self.forget(way, found);
        for &pointer in &self.ends {
            found[pointer].push(Found { elements: way.clone(), value });
        }
        let walked = match value.get().as_bytes()[0] {
            b'{' if !self.next.is_empty() => self.walk(value.get(), way, found),
            b'[' if !self.next.is_empty() => self.count(value.get(), way, found),
            _ => Ok(()),
        };
        if walked.is_err() {
            self.next.iter().for_each(|(_, step)| step.forget(way, found));
        }
    }

    /// Reads an array.
    fn count<'a>(&self, array: &'a str, way: &mut Way, found: &mut All<'a>) -> serde_json::Result<()> {
        let elements: Vec<&RawValue> = serde_json::from_str(array)?;
        for (name, step) in &self.next {
            if name == EACH {
                for (number, element) in elements.iter().enumerate() {
                    on_way(way, Some(number), |way| step.reach(element, way, found));
                }
            } else if let Some(element) = name.parse::<usize>().ok().and_then(|number| elements.get(number)) {
                step.reach(element, way, found);
            }
        }
        Ok(())
    }

    /// Forgets what was found on this way, or further on: of each pointer, that was found last.
    fn forget(&self, way: &Way, found: &mut All) {
        for &pointer in &self.ends {
            while found[pointer].pop_if(|last| last.elements.starts_with(way)).is_some() {}
        }
        self.next.iter().for_each(|(_, step)| step.forget(way, found));
    }
}

/// Goes one `*` further, and comes back.
fn on_way(way: &mut Way, element: Option<usize>, go: impl FnOnce(&mut Way)) {
    way.push(element);
    go(way);
    way.pop();
}

struct Fields<'s, 'f, 'a> {
    step: &'s Step,
    way: &'f mut Way,
    found: &'f mut All<'a>,
}

/// A key, copied only where it has escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Visitor<'a> for Fields<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut fields: M) -> Result<(), M::Error> {
        while let Some(Key(key)) = fields.next_key()? {
            match self.step.next.iter().find(|(name, _)| *name == *key) {
                Some((name, step)) if name == EACH => {
                    let value = fields.next_value()?;
                    on_way(self.way, None, |way| step.reach(value, way, self.found));
                }
                Some((_, step)) => step.reach(fields.next_value()?, self.way, self.found),
                None => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(json: &'a str, pointers: &[&str]) -> Vec<Option<&'a str>> {
        let mut all = Pointers::default();
        let places: Vec<usize> = pointers.iter().map(|pointer| all.add(pointer)).collect();
        let found = all.find(json).unwrap();
        places.into_iter().map(|place| found[place].first().map(|found| found.value.get())).collect()
    }

    /// Each value with the pointer to it alone.
    fn each(json: &str, pointer: &str) -> Vec<(String, String)> {
        let mut all = Pointers::default();
        all.add(pointer);
        let found = all.find(json).unwrap().remove(0);
        found.iter().map(|found| (found.field(pointer), found.value.get().to_owned())).collect()
    }

    #[test]
    fn pointers_lead_through_objects_and_arrays() {
        let json = r#" {"a/b":[1,{"c~d":"é\u0041"}],"\u00e9":{"":2}} "#;
        let pointers = ["/a~1b/1/c~0d", "/é/", "/a~1b/7", "/a~1b/0/x", "/é", "/a~1b/0", "/x"];
        let expected = [Some(r#""é\u0041""#), Some("2"), None, None, Some(r#"{"":2}"#), Some("1"), None];
        assert_eq!(found(json, &pointers), expected);
    }

    #[test]
    fn a_star_is_each_element_of_an_array_and_in_an_object_a_name() {
        let json = r#"{"a":[{"b":1},{"c":2},{"b":[3,4]}],"d":{"*":5},"*":[6]}"#;
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(each(json, "/a/*/b"), [field("/a/0/b", "1"), field("/a/2/b", "[3,4]")]);
        assert_eq!(each(json, "/a/*/b/*"), [field("/a/2/b/0", "3"), field("/a/2/b/1", "4")]);
        assert_eq!(each(json, "/d/*"), [field("/d/*", "5")]);
        assert_eq!(each(json, "/*/*"), [field("/*/0", "6")]);
        assert_eq!(each(json, "/d/*/*"), []);
    }

    #[test]
    fn of_elements_too_the_last_field_of_a_name_counts_and_a_broken_one_hides_no_other() {
        let json = r#"{"a":[{"b":9}],"a":[{"b":1,"b":2},{"b":3,"\ud800":4},{"b":5}]}"#;
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(each(json, "/a/*/b"), [field("/a/0/b", "2"), field("/a/2/b", "5")]);
    }

    #[test]
    fn a_long_array_takes_no_longer_than_a_short_one_for_each_element() {
        let json = format!(r#"{{"a":[{}{{"b":2}}]}}"#, r#"{"b":1},"#.repeat(400_000));
        let mut all = Pointers::default();
        all.add("/a/*/b");
        let begun = std::time::Instant::now();
        assert_eq!(all.find(&json).unwrap()[0].len(), 400_001);
        // By each with each, it would be hours.
        assert!(begun.elapsed() < std::time::Duration::from_mins(1), "{:?}", begun.elapsed());
    }

    #[test]
    fn the_last_of_several_fields_of_one_name_counts() {
        let pointers = ["/a", "/a/b", "/a/0"];
        assert_eq!(found(r#"{"a":{"b":1},"a":{"b":2,"b":3}}"#, &pointers), [Some(r#"{"b":2,"b":3}"#), Some("3"), None]);
        assert_eq!(found(r#"{"a":{"b":1},"a":[4]}"#, &pointers), [Some("[4]"), None, Some("4")]);
        assert_eq!(found(r#"{"a":{"b":1},"a":5}"#, &pointers), [Some("5"), None, None]);
    }

    #[test]
    fn an_object_with_a_key_that_is_no_text_has_nothing_in_it() {
        let pointers = ["/a", "/a/b", "/c"];
        let inner = r#"{"b":1,"\ud800":2}"#;
        assert_eq!(found(&format!(r#"{{"a":{inner},"c":3}}"#), &pointers), [Some(inner), None, Some("3")]);
        assert_eq!(found(r#"{"a":{"b":1},"\ud800":2,"c":3}"#, &pointers), [None, None, None]);
    }

    #[test]
    fn what_is_no_object_is_told_from_what_is_no_json() {
        let find = |json| Pointers::default().find(json);
        assert!(matches!(find("[1]"), Err(NotFound::NotAnObject)));
        assert!(matches!(find(r#""a""#), Err(NotFound::NotAnObject)));
        for broken in ["[1", r#"{"a":1"#, r#"{"a":1} x"#, r#"{"a" 1}"#, "", "{,}"] {
            assert!(matches!(find(broken), Err(NotFound::NotJson(_))), "{broken}");
        }
    }
}
