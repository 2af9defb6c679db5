//! An expression of the configuration: read, checked, and asked of documents.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use cel::common::types::{CelBool, CelString, STRING_TYPE};
use cel::common::value::CowVal;
use cel::{Context, Env, ExecutionError, Program, Value};
use regex::Regex;

use super::check::{self, Fault};
use super::facts::Facts;
use super::types::Type;

/// An expression that has been checked.
pub(super) struct Expression {
    /// The key of the configuration.
    name: String,
    text: String,
    program: Program,
}

/// What an expression must give.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    Truth,
    Text,
    /// A key: a text, bytes, a whole number, or null.
    Bytes,
    Whole,
    /// What a header can hold, or null.
    Scalar,
}

impl Wanted {
    fn takes(self, kind: &Type) -> bool {
        let some = kind.some();
        let is_single = !matches!(some, Type::List(_) | Type::Map(_) | Type::Members(_));
        match self {
            Self::Truth => kind.is_truth(),
            Self::Text => some.is_text(),
            Self::Whole => matches!(some, Type::Any | Type::Whole),
            Self::Bytes => is_single && !matches!(some, Type::Fraction | Type::Truth),
            Self::Scalar => is_single,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Truth => "true or false",
            Self::Text => "a text",
            Self::Bytes => "a text or a whole number",
            Self::Whole => "a whole number",
            Self::Scalar => "a text or a number",
        }
    }
}

/// The functions that expressions have: those of the standard, and `matches`, which reads a pattern once.
pub(super) fn environment() -> Env {
    let mut env = Env::stdlib().with_optional_support(false);
    let added = env.add_member_overload("matches", "matches_string", STRING_TYPE, vec![STRING_TYPE], matches);
    added.unwrap_or_else(|_| unreachable!("without the feature `regex` the library has none"));
    env
}

thread_local! {
    /// Patterns stand in the configuration, so that there are few.
    static PATTERNS: RefCell<HashMap<String, Regex>> = RefCell::default();
}

fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let mut arguments = arguments.into_iter();
    let (Some(text), Some(pattern)) = (arguments.next(), arguments.next()) else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let (Some(text), Some(pattern)) = (text.downcast_ref::<CelString<'_>>(), pattern.downcast_ref::<CelString<'_>>())
    else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let (text, pattern) = (text.inner(), pattern.inner());
    let found = PATTERNS.with_borrow_mut(|known| {
        if let Some(regex) = known.get(pattern) {
            return Some(regex.is_match(text));
        }
        let regex = Regex::new(pattern).ok()?;
        let found = regex.is_match(text);
        known.insert(pattern.to_owned(), regex);
        Some(found)
    });
    let found = found.ok_or_else(|| ExecutionError::function_error("matches", "no pattern"))?;
    Ok(CowVal::owned(CelBool::from(found)))
}

impl Expression {
    /// Reads and checks one.
    ///
    /// # Errors
    /// With what is wrong, and a mark where.
    pub fn compile(name: &str, text: &str, wanted: Wanted, env: &Env, known: &Type) -> Result<Self, String> {
        let program = env.compile(text).map_err(|errors| {
            let Some(first) = errors.errors.first() else { return marked(text, None, "is no expression of CEL") };
            let (line, column) = first.pos;
            let lines = text.split_inclusive('\n').take((line.max(1) - 1).cast_unsigned());
            let before: usize = lines.map(|line| line.chars().count()).sum();
            let at = before + (column.max(1) - 1).cast_unsigned();
            let what = first.msg.trim_start_matches("Syntax error: ").lines().next().unwrap_or_default().to_owned();
            marked(text, Some(at), &format!("is no expression of CEL: {what}"))
        })?;
        let at = |id: u64| program.source_info().offset_for(id).map(|(start, _)| start as usize);
        let kind = check::kind_of(program.expression(), known);
        let kind = kind.map_err(|Fault { id, why }| marked(text, at(id), &why))?;
        if !wanted.takes(&kind) {
            let why = format!("gives {}, and must give {}", kind.words(), wanted.words());
            return Err(marked(text, None, &why));
        }
        Ok(Self { name: name.to_owned(), text: text.to_owned(), program })
    }

    /// Its value for a document.
    ///
    /// # Errors
    /// With why it has none; never with a document's text (G-28).
    pub fn value(&self, context: &Context<'_, '_>, facts: &Facts<'_>) -> Result<Value, String> {
        self.program.execute(context).map_err(|error| {
            if facts.lacks_document() {
                return self.fails("asks for the document, which can't be read as JSON values");
            }
            self.fails(&self.without_text(&error))
        })
    }

    /// What is said of it when it fails.
    pub fn fails(&self, why: &str) -> String {
        format!("{} (`{}`) {why}", self.name, self.text)
    }

    /// What the library says, but for the values that some of its messages quote.
    fn without_text(&self, error: &ExecutionError) -> String {
        match error {
            ExecutionError::NoSuchKey(name) if self.text.contains(name.as_str()) => {
                format!("asks for `{name}`, which is not there; `has(…)` tells whether it is")
            }
            ExecutionError::NoSuchKey(_) => "asks for a name that is not there".into(),
            ExecutionError::NoSuchOverload(overload) => {
                let kinds = overload.argument_types().join(" and ");
                let function = overload.function().trim_matches(['_', '@']);
                format!("uses `{function}` on {kinds}, which it is not for")
            }
            ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "divides by zero".into(),
            ExecutionError::Overflow(..) => "comes to a number that is too large".into(),
            ExecutionError::IndexOutOfBounds(_) => "asks for an element behind the last one of a list".into(),
            ExecutionError::FunctionError { function, .. } => format!("uses `{function}` on what it can't take"),
            _ => "compares or joins what can't be".into(),
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.text)
    }
}

/// What is wrong, and below it the line of the expression with a caret at a character of it.
fn marked(text: &str, at: Option<usize>, why: &str) -> String {
    let Some(at) = at else { return format!("{why}\n    {}", text.trim_end()) };
    let (mut line, mut column) = ("", 0);
    let mut left = at;
    for next in text.split_inclusive('\n') {
        (line, column) = (next.trim_end(), left.min(next.trim_end().chars().count()));
        let length = next.chars().count();
        if left < length {
            break;
        }
        left -= length;
    }
    format!("{why}\n    {line}\n    {}^", " ".repeat(column))
}
