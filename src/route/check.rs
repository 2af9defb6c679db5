//! Checks an expression before there is a document: what it names must be there, and what it compares must be able to be
//! alike. A slip would hold for no document, and nobody would hear of it.

use std::sync::Arc;

use cel::IdedExpr;
use cel::common::ast::operators as op;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SelectExpr};
use regex::Regex;

use super::types::Type;

/// What is wrong with an expression, and with which part of it.
#[derive(Debug)]
pub(super) struct Fault {
    pub id: u64,
    pub why: String,
}

/// So many names are told.
const TOLD: usize = 20;

const FUNCTIONS: &str = "contains, startsWith, endsWith, matches, size, has, all, exists, exists_one, map, filter, string, \
                         int, uint, double, bytes, dyn and type";

/// The names of types, which are values, too.
const TYPES: [&str; 8] = ["bool", "int", "uint", "double", "string", "bytes", "list", "map"];

/// What an expression gives, with these variables.
///
/// # Errors
/// When it can never be of use.
pub(super) fn kind_of(expression: &IdedExpr, variables: &Type) -> Result<Type, Fault> {
    Checker { variables, scope: Vec::new() }.kind(expression)
}

struct Checker<'t> {
    variables: &'t Type,
    /// What macros such as `exists` name, the innermost last.
    scope: Vec<(String, Type)>,
}

fn fault<T>(at: &IdedExpr, why: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { id: at.id, why: why.into() })
}

impl Checker<'_> {
    fn kind(&mut self, expression: &IdedExpr) -> Result<Type, Fault> {
        match &expression.expr {
            Expr::Literal(literal) => Ok(of_literal(literal)),
            Expr::Ident(name) => self.named(expression, name),
            Expr::Select(select) => self.selected(expression, select),
            Expr::Call(call) => self.called(expression, call),
            Expr::Comprehension(comprehension) => self.comprehended(comprehension),
            Expr::List(list) => {
                let kinds = list.elements.iter().map(|element| self.kind(element)).collect::<Result<Vec<_>, _>>()?;
                Ok(Type::List(Box::new(kinds.into_iter().reduce(Type::joined).unwrap_or(Type::Any))))
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.kind(&entry.key)?;
                        self.kind(&entry.value)?;
                    }
                }
                Ok(Type::Map(Box::new(Type::Any)))
            }
            Expr::Struct(_) | Expr::Unspecified => fault(expression, "makes a value of a type that there is not"),
        }
    }

    fn named(&self, at: &IdedExpr, name: &str) -> Result<Type, Fault> {
        let name = name.trim_start_matches('.');
        if let Some((_, kind)) = self.scope.iter().rev().find(|(known, _)| known == name) {
            return Ok(kind.clone());
        }
        match member(self.variables, name) {
            Some(kind) => Ok(kind.clone()),
            None if TYPES.contains(&name) => Ok(Type::Any),
            None => fault(at, format!("names `{name}`, which is not there; there are {}", names(self.variables))),
        }
    }

    fn selected(&mut self, at: &IdedExpr, select: &SelectExpr) -> Result<Type, Fault> {
        let SelectExpr { operand, field, test } = select;
        let whole = self.kind(operand)?;
        let found = match whole.some() {
            Type::Any => Type::Any,
            Type::Map(inner) => (**inner).clone(),
            of @ Type::Members(_) => {
                let Some(kind) = member(of, field) else {
                    let of_what = written(operand).map(|name| format!(" of `{name}`")).unwrap_or_default();
                    return fault(at, format!("names `{field}`{of_what}, which is not there; there are {}", names(of)));
                };
                kind.clone()
            }
            Type::List(_) => {
                let why = format!("asks a list for `.{field}`: `.exists(one, one.{field} == …)` asks its elements");
                return fault(at, why);
            }
            other => return fault(at, format!("asks for `.{field}` of what is {}", other.words())),
        };
        Ok(if *test { Type::Truth } else { found })
    }

    fn comprehended(&mut self, comprehension: &ComprehensionExpr) -> Result<Type, Fault> {
        let range = self.kind(&comprehension.iter_range)?;
        let element = match range.some() {
            Type::Any => Type::Any,
            Type::List(element) => (**element).clone(),
            Type::Map(_) | Type::Members(_) => Type::Text(None),
            other => return fault(&comprehension.iter_range, format!("goes through what is {}", other.words())),
        };
        self.kind(&comprehension.accu_init)?;
        let before = self.scope.len();
        self.scope.push((comprehension.accu_var.clone(), Type::Any));
        self.scope.push((comprehension.iter_var.clone(), element));
        self.scope.extend(comprehension.iter_var2.clone().map(|name| (name, Type::Any)));
        self.kind(&comprehension.loop_cond)?;
        self.kind(&comprehension.loop_step)?;
        let result = self.kind(&comprehension.result);
        self.scope.truncate(before);
        result
    }

    fn called(&mut self, at: &IdedExpr, call: &CallExpr) -> Result<Type, Fault> {
        let all = call.target.as_deref().into_iter().chain(&call.args);
        let kinds = all.clone().map(|argument| self.kind(argument)).collect::<Result<Vec<_>, _>>()?;
        let arguments: Vec<(&IdedExpr, Type)> = all.zip(kinds).collect();
        match (call.func_name.as_str(), call.target.is_some(), &arguments[..]) {
            (op::LOGICAL_AND | op::LOGICAL_OR | op::LOGICAL_NOT, false, all) => {
                all.iter().try_for_each(|one| must(one, Type::is_truth, "true or false")).map(|()| Type::Truth)
            }
            (op::NOT_STRICTLY_FALSE, ..) => Ok(Type::Truth),
            (op::EQUALS | op::NOT_EQUALS, false, [one, other]) => {
                if !one.1.may_equal(&other.1) {
                    let (one, other) = (one.1.words(), other.1.words());
                    return fault(at, format!("compares {one} with {other}, which are never alike"));
                }
                possible_score(one, other).and_then(|()| possible_score(other, one))?;
                known_text(one, other).and_then(|()| known_text(other, one)).map(|()| Type::Truth)
            }
            (op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS, false, [one, other]) => {
                let is_ordered =
                    |kind: &Type| !matches!(kind, Type::Null | Type::List(_) | Type::Map(_) | Type::Members(_));
                if !one.1.may_equal(&other.1) || !is_ordered(one.1.some()) || !is_ordered(other.1.some()) {
                    return fault(at, format!("puts {} and {} in an order", one.1.words(), other.1.words()));
                }
                possible_score(one, other).and_then(|()| possible_score(other, one)).map(|()| Type::Truth)
            }
            (op::IN, false, [one, within]) => sought(at, one, within),
            (op::CONDITIONAL, false, [condition, one, other]) => {
                must(condition, Type::is_truth, "true or false")?;
                Ok(one.1.clone().joined(other.1.clone()))
            }
            (op::INDEX, false, [whole, index]) => indexed(at, whole, index),
            (op::NEGATE, false, [one]) => must(one, Type::is_number, "a number").map(|()| one.1.clone()),
            (op::ADD | op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO, false, [one, other]) => {
                computed(at, &call.func_name, &one.1, &other.1)
            }
            ("contains" | "startsWith" | "endsWith" | "matches", true, [text, part]) => {
                must(text, Type::is_text, "a text")?;
                must(part, Type::is_text, "a text")?;
                if call.func_name == "matches" {
                    pattern(part.0)?;
                }
                Ok(Type::Truth)
            }
            ("size", _, [(argument, kind)]) => match kind.some() {
                Type::Any | Type::Text(_) | Type::Bytes | Type::List(_) | Type::Map(_) | Type::Members(_) => {
                    Ok(Type::Whole)
                }
                other => fault(argument, format!("asks for the size of what is {}", other.words())),
            },
            ("string", false, [_]) => Ok(Type::Text(None)),
            ("int" | "uint", false, [_]) => Ok(Type::Whole),
            ("double", false, [_]) => Ok(Type::Fraction),
            ("bytes", false, [_]) => Ok(Type::Bytes),
            ("dyn" | "type", false, [_]) => Ok(Type::Any),
            (known, ..) if FUNCTIONS.split([',', ' ']).any(|name| name == known) => {
                fault(at, format!("uses `{known}` as it is not meant"))
            }
            (unknown, ..) => fault(at, format!("uses `{unknown}`, which is no function; there are {FUNCTIONS}")),
        }
    }
}

fn sought(at: &IdedExpr, one: &(&IdedExpr, Type), within: &(&IdedExpr, Type)) -> Result<Type, Fault> {
    match (within.1.some(), &within.0.expr) {
        (_, Expr::List(list)) => {
            for element in &list.elements {
                let kind = if let Expr::Literal(literal) = &element.expr { of_literal(literal) } else { Type::Any };
                if !one.1.may_equal(&kind) {
                    let (one, kind) = (one.1.words(), kind.words());
                    return fault(element, format!("compares {one} with {kind}, which are never alike"));
                }
                known_text(one, &(element, kind))?;
            }
        }
        (Type::List(element), _) if one.1.may_equal(element) => known_text(&(at, (**element).clone()), one)?,
        (Type::List(element), _) => {
            return fault(at, format!("looks for {} in a list of which each is {}", one.1.words(), element.words()));
        }
        (Type::Map(_), _) => must(one, Type::is_text, "a text")?,
        (of @ Type::Members(_), Expr::Ident(_) | Expr::Select(_)) => {
            if let Some(name) = text_of(one.0).filter(|name| member(of, name).is_none()) {
                return fault(one.0, format!("names `{name}`, which is not there; there are {}", names(of)));
            }
        }
        (Type::Any | Type::Members(_), _) => {}
        (other, _) => return fault(within.0, format!("looks for something in what is {}", other.words())),
    }
    Ok(Type::Truth)
}

fn of_literal(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Truth,
        LiteralValue::Bytes(_) => Type::Bytes,
        LiteralValue::Double(_) => Type::Fraction,
        LiteralValue::Int(_) | LiteralValue::UInt(_) => Type::Whole,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::Text(None),
    }
}

fn member<'t>(of: &'t Type, name: &str) -> Option<&'t Type> {
    let Type::Members(members) = of else { return None };
    members.iter().find(|(known, _)| **known == *name).map(|(_, kind)| kind)
}

fn names(of: &Type) -> String {
    let Type::Members(members) = of else { return String::new() };
    listed(members.iter().map(|(name, _)| name))
}

fn listed<'n>(names: impl ExactSizeIterator<Item = &'n Arc<str>>) -> String {
    let more = if names.len() > TOLD { " …" } else { "" };
    let names: Vec<&str> = names.take(TOLD).map(|name| &**name).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") + more }
}

/// A name as it is written, such as `tags.spam`.
fn written(expression: &IdedExpr) -> Option<String> {
    match &expression.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => Some(format!("{}.{}", written(&select.operand)?, select.field)),
        _ => None,
    }
}

fn text_of(expression: &IdedExpr) -> Option<&str> {
    if let Expr::Literal(LiteralValue::String(text)) = &expression.expr { Some(text.inner()) } else { None }
}

fn must((at, kind): &(&IdedExpr, Type), is: impl Fn(&Type) -> bool, what: &str) -> Result<(), Fault> {
    if is(kind) { Ok(()) } else { fault(at, format!("has {} where {what} is wanted", kind.words())) }
}

/// Of a text of which all are known, another is a slip.
fn known_text((at, kind): &(&IdedExpr, Type), (other, _): &(&IdedExpr, Type)) -> Result<(), Fault> {
    let (Type::Text(Some(known)), Some(text)) = (kind.some(), text_of(other)) else { return Ok(()) };
    if known.iter().any(|one| **one == *text) {
        return Ok(());
    }
    let what = written(at).map_or_else(|| "it".into(), |name| format!("`{name}`"));
    fault(other, format!("has `{text}`, which {what} never is; there are {}", listed(known.iter())))
}

/// A score is no percentage: all are on one side of 90.
fn possible_score((at, kind): &(&IdedExpr, Type), (other, _): &(&IdedExpr, Type)) -> Result<(), Fault> {
    let is_score = *kind == Type::Fraction && matches!(&at.expr, Expr::Select(select) if select.field == "score");
    let number = match &other.expr {
        Expr::Literal(LiteralValue::Int(whole)) => *whole.inner() as f64,
        Expr::Literal(LiteralValue::UInt(whole)) => *whole.inner() as f64,
        Expr::Literal(LiteralValue::Double(number)) => *number.inner(),
        _ => return Ok(()),
    };
    if !is_score || (0.0..=1.0).contains(&number) {
        return Ok(());
    }
    fault(other, format!("compares a score, which is from 0 to 1, with {number}"))
}

fn indexed(at: &IdedExpr, whole: &(&IdedExpr, Type), index: &(&IdedExpr, Type)) -> Result<Type, Fault> {
    match whole.1.some() {
        Type::Any => Ok(Type::Any),
        Type::List(element) => must(index, Type::is_number, "a whole number").map(|()| (**element).clone()),
        Type::Map(inner) => must(index, Type::is_text, "a text").map(|()| (**inner).clone()),
        of @ Type::Members(_) => match text_of(index.0) {
            Some(name) => match member(of, name) {
                Some(kind) => Ok(kind.clone()),
                None => fault(index.0, format!("names `{name}`, which is not there; there are {}", names(of))),
            },
            None => must(index, Type::is_text, "a text").map(|()| Type::Any),
        },
        other => fault(at, format!("asks for an element of what is {}", other.words())),
    }
}

fn computed(at: &IdedExpr, operator: &str, one: &Type, other: &Type) -> Result<Type, Fault> {
    let written = operator.trim_matches('_');
    match (one.some(), other.some()) {
        (Type::Any, Type::Any) => Ok(Type::Any),
        (Type::Whole, Type::Whole | Type::Any) | (Type::Any, Type::Whole) => Ok(Type::Whole),
        (Type::Fraction, Type::Fraction | Type::Any) | (Type::Any, Type::Fraction) if operator != op::MODULO => {
            Ok(Type::Fraction)
        }
        (Type::Whole, Type::Fraction) | (Type::Fraction, Type::Whole) => fault(
            at,
            format!("uses `{written}` on a whole number and one that is not: write `1.0` for `1`, or `double(…)`"),
        ),
        (Type::Text(_), Type::Text(_) | Type::Any) | (Type::Any, Type::Text(_)) if operator == op::ADD => {
            Ok(Type::Text(None))
        }
        (Type::List(one), Type::List(other)) if operator == op::ADD => {
            Ok(Type::List(Box::new((**one).clone().joined((**other).clone()))))
        }
        (Type::Bytes | Type::List(_), Type::Any)
        | (Type::Any, Type::Bytes | Type::List(_))
        | (Type::Bytes, Type::Bytes)
            if operator == op::ADD =>
        {
            Ok(Type::Any)
        }
        (one, other) if operator == op::ADD && (one.is_text() || other.is_text()) => {
            let other = if one.is_text() { other } else { one };
            fault(at, format!("joins a text with {}: `string(…)` makes one of it", other.words()))
        }
        (one, other) => fault(at, format!("uses `{written}` on {} and {}", one.words(), other.words())),
    }
}

/// A pattern stands in the configuration, so that it is known to be one, and that no document brings a costly one.
fn pattern(at: &IdedExpr) -> Result<(), Fault> {
    let Some(text) = text_of(at) else { return fault(at, "has no pattern: that of `matches` must be written out") };
    match Regex::new(text) {
        Ok(_) => Ok(()),
        Err(error) => {
            let last = error.to_string();
            let why = last.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            fault(at, format!("has a pattern that can't be read: {why}"))
        }
    }
}
