//! What kind of value an expression gives, as far as it is known before there is a document.

use std::sync::Arc;

use crate::config::Scores;
use crate::record::tag::TagKind;

/// A kind of value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    /// Only a document tells.
    Any,
    Null,
    Truth,
    Whole,
    Fraction,
    Bytes,
    /// A text; of which there are no others than these, if that is known.
    Text(Option<Arc<[Arc<str>]>>),
    List(Box<Type>),
    /// Any names, and what each has.
    Map(Box<Type>),
    /// These members.
    Members(Arc<[(Arc<str>, Type)]>),
    OrNull(Box<Type>),
}

impl Type {
    /// In words.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Null => "null",
            Self::Truth => "true or false",
            Self::Whole => "a whole number",
            Self::Fraction => "a number",
            Self::Bytes => "bytes",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) | Self::Members(_) => "a map",
            Self::OrNull(inner) => inner.words(),
        }
    }

    /// The same if it is not null.
    pub fn some(&self) -> &Self {
        if let Self::OrNull(inner) = self { inner } else { self }
    }

    pub fn is_number(&self) -> bool {
        matches!(self.some(), Self::Any | Self::Whole | Self::Fraction)
    }

    pub fn is_text(&self) -> bool {
        matches!(self.some(), Self::Any | Self::Text(_))
    }

    pub fn is_truth(&self) -> bool {
        matches!(self, Self::Any | Self::Truth)
    }

    /// Whether a value of one may equal a value of the other.
    pub fn may_equal(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _)
            | (_, Self::Any)
            | (Self::Null | Self::OrNull(_), Self::Null)
            | (Self::Null, Self::OrNull(_)) => true,
            (Self::Null, _) | (_, Self::Null) => false,
            (one, other) => match (one.some(), other.some()) {
                (Self::List(one), Self::List(other)) => one.may_equal(other),
                (Self::Map(_) | Self::Members(_), Self::Map(_) | Self::Members(_)) => true,
                (one, other) if one.is_number() => other.is_number(),
                (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other) || *other == Self::Any,
            },
        }
    }

    /// What both are.
    pub fn joined(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::Text(_), Self::Text(_)) => Self::Text(None),
            (Self::Null, other) | (other, Self::Null) => Self::OrNull(Box::new(other)),
            _ => Self::Any,
        }
    }
}

fn members<const N: usize>(all: [(&str, Type); N]) -> Type {
    Type::Members(all.into_iter().map(|(name, kind)| (name.into(), kind)).collect())
}

fn or_null(inner: Type) -> Type {
    Type::OrNull(Box::new(inner))
}

/// The variables that expressions have.
pub(super) fn variables(tags: &[(Arc<str>, TagKind)], topics: &[String], scores: Scores) -> Type {
    let tags = tags.iter().map(|(name, kind)| (Arc::clone(name), of(kind, scores))).collect();
    let any_text = || Type::Text(None);
    // Of topics that come under a pattern, nobody knows the names.
    let is_closed = !topics.iter().any(|topic| topic.starts_with('^'));
    let topic = Type::Text(is_closed.then(|| topics.iter().map(|topic| Arc::from(topic.as_str())).collect()));
    members([
        ("tags", Type::Members(tags)),
        ("document", Type::Map(Box::new(Type::Any))),
        ("headers", Type::Map(Box::new(or_null(any_text())))),
        ("key", or_null(any_text())),
        (
            "source",
            members([
                ("topic", topic),
                ("partition", Type::Whole),
                ("offset", Type::Whole),
                ("timestamp", or_null(Type::Whole)),
            ]),
        ),
    ])
}

fn of(tag: &TagKind, scores: Scores) -> Type {
    let one_of = |labels: &[Arc<str>]| Type::Text(Some(labels.into()));
    let score = || ("score", Type::Fraction);
    let several = |labels: &[Arc<str>]| Type::List(Box::new(members([("label", one_of(labels)), score()])));
    match tag {
        TagKind::Class(labels) if scores == Scores::Best => members([("label", or_null(one_of(labels))), score()]),
        TagKind::Class(labels) => members([("label", or_null(one_of(labels))), score(), ("scores", several(labels))]),
        TagKind::Number => members([("value", Type::Fraction)]),
        TagKind::Labels(labels) => several(labels),
        TagKind::Entities(kinds) => Type::List(Box::new(members([
            ("type", one_of(kinds)),
            ("text", Type::Text(None)),
            ("start", Type::Whole),
            ("end", Type::Whole),
            score(),
        ]))),
    }
}
