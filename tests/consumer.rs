//! The consumer has one owner (G-41): outside of the source, who holds it only asks. Read from the code, since which thread
//! calls the consumer can't be seen from outside.

use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Expr, ExprMethodCall, Member};

/// Calls that change nothing and serve no events.
const ASKS: [&str; 6] = ["assignment_lost", "clone", "client", "committed_offsets", "context", "group_metadata"];

/// The wings that have hold of the worker's consumer, and where it is owned. (Commands make consumers of their own.)
const WINGS: [&str; 3] = ["kafka", "pipeline", "worker"];
const OWNER: &str = "kafka/source";

/// The calls of a file on what is named `consumer`, with their lines.
#[derive(Default)]
struct Calls(Vec<(String, usize)>);

impl<'ast> Visit<'ast> for Calls {
    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        if name(&call.receiver).is_some_and(|name| name == "consumer") {
            self.0.push((call.method.to_string(), call.method.span().start().line));
        }
        visit::visit_expr_method_call(self, call);
    }
}

/// The last name of `self.consumer`, `consumer`, `&consumer` or `source.consumer()`.
fn name(receiver: &Expr) -> Option<String> {
    match receiver {
        Expr::Path(path) => Some(path.path.segments.last()?.ident.to_string()),
        Expr::Field(field) => match &field.member {
            Member::Named(name) => Some(name.to_string()),
            Member::Unnamed(_) => None,
        },
        Expr::MethodCall(call) => Some(call.method.to_string()),
        Expr::Reference(inner) => name(&inner.expr),
        Expr::Paren(inner) => name(&inner.expr),
        _ => None,
    }
}

/// The calls of a file that do more than ask.
fn commands(text: &str) -> Vec<(String, usize)> {
    let mut calls = Calls::default();
    calls.visit_file(&syn::parse_file(text).unwrap());
    calls.0.retain(|(call, _)| !ASKS.contains(&call.as_str()));
    calls.0
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn outside_of_the_source_nobody_does_more_with_the_consumer_than_ask() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut asked, mut wrong) = (0, Vec::new());
    for file in WINGS.iter().flat_map(|wing| files(&src.join(wing))) {
        let text = fs::read_to_string(&file).unwrap();
        let found = commands(&text);
        if file.starts_with(src.join(OWNER)) {
            asked += found.len();
            continue;
        }
        wrong.extend(found.into_iter().map(|(call, line)| format!("{}:{line}: {call}", file.display())));
    }
    // `ClientConfig`, which is no consumer yet, is set up under that name.
    wrong.retain(|line| !line.contains("clients.rs") || !line.ends_with(": set"));
    assert!(wrong.is_empty(), "the consumer is the source's: {wrong:#?}");
    assert!(asked > 5, "the source's own calls are not found: is its consumer named otherwise now?");
}

#[test]
fn a_call_of_the_consumer_is_found_however_it_is_written() {
    for call in ["self.consumer.poll(x)", "(&consumer).commit(x)", "pulse.call(|| source.consumer().seek(x))"] {
        assert_eq!(commands(&format!("fn f() {{ {call}; }}")).len(), 1, "{call}");
    }
    assert!(commands("fn f() { self.consumer.group_metadata(); producer.poll(x); }").is_empty());
}
