//! An inspection as text for people.

use std::fmt::{Display, Write as _};

use super::inspection::{Fact, HeadFacts, Inspection};
use crate::model::graph::onnx::{Axis, Tensor};
use crate::model::loaded::SCALED_BY_BATCH;
use crate::record::tag::Tag;

/// How many of a long list are shown.
const FEW: usize = 12;

/// The text.
pub fn text(inspection: &Inspection) -> String {
    let Inspection {
        identity, model_type, architectures, directory, max_tokens, graph: file, heads, tokenizer, ..
    } = inspection;
    let fed = &inspection.fed;
    let graph = &file.graph;
    let mut lines = Lines::default();
    lines.add("model", identity);
    lines.add("directory", directory);
    lines.add("architecture", format!("{model_type} ({})", few(architectures)));
    lines.add("max tokens", max_tokens);
    lines.add("graph", format!("{}, {}", file.file, size(file.bytes)));
    if file.external_bytes > 0 {
        lines.add("", format!("weights in {}, {}", few(graph.external.keys()), size(file.external_bytes)));
    }
    lines.add("variants", few(&file.variants));
    lines.add("format", format!("ONNX IR {}, by {}", graph.ir_version, graph.producer));
    lines.add("opsets", few(graph.opsets.iter().map(|(domain, version)| format!("{domain} {version}"))));
    lines.add("parameters", grouped(file.parameter_count));
    lines.add("precision", precision(inspection));
    let consistent = if file.consistent {
        "yes: a text's scores don't depend on its batch".into()
    } else {
        format!("no: {SCALED_BY_BATCH}")
    };
    lines.add("consistent", consistent);
    let mut operators: Vec<_> = graph.operators.iter().collect();
    operators.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    lines.add("operators", few(operators.iter().map(|(name, count)| format!("{name} {count}"))));
    let fused = match file.fused_attention {
        0 => "not fused".into(),
        nodes => format!("fused, {nodes} nodes"),
    };
    lines.add("attention", fused);
    lines.add_all("inputs", graph.inputs.iter().map(tensor));
    lines.add_all("outputs", graph.outputs.iter().map(tensor));
    lines.add_all("heads", heads.iter().map(head));
    let cased = if tokenizer.cased { "cased" } else { "uncased" };
    lines.add("tokenizer", format!("{}, {} tokens, {cased}", tokenizer.kind, grouped(tokenizer.vocabulary as u64)));
    lines.add_all("taken", inspection.taken.iter().cloned());
    lines.add_all("unheeded", inspection.unheeded.iter().cloned());
    lines.add("special", few(tokenizer.special.iter().map(|(id, token)| format!("{token} {id}"))));
    lines.add("probe", &*fed.text);
    lines.add("tokens", fed.tokens.join(" "));
    lines.add("ids", fed.ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" "));
    let fact = |Fact { name, kind, shape }: &Fact| format!("{name} {kind} {shape:?}");
    lines.add_all("fed", fed.tensors.iter().map(fact));
    lines.add_all("tags", fed.tags.iter().map(|(name, given)| format!("{name}: {}", tag(given))));
    lines.0
}

/// Names at the left, values beside them.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl Display) {
        // A text takes whatever is written to it.
        let _ = writeln!(self.0, "{name:<13} {value}");
    }

    fn add_all(&mut self, name: &str, values: impl Iterator<Item = String>) {
        for (number, value) in values.enumerate() {
            self.add(if number == 0 { name } else { "" }, value);
        }
    }
}

fn precision(inspection: &Inspection) -> String {
    let all = inspection.graph.parameter_count.max(1) as f64;
    let mut kinds: Vec<_> = inspection.graph.graph.parameters.iter().filter(|(_, count)| **count > 0).collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let share = |count: u64| match 100.0 * count as f64 / all {
        tiny if tiny < 0.1 => "<0.1 %".into(),
        percent => format!("{percent:.1} %"),
    };
    let shares = few(kinds.iter().map(|(kind, count)| format!("{kind} {}", share(**count))));
    format!("{shares}; {}", if inspection.graph.quantized { "quantized" } else { "not quantized" })
}

fn tensor(tensor: &Tensor) -> String {
    let axis = |axis: &Axis| match axis {
        Axis::Fixed(length) => length.to_string(),
        Axis::Named(name) => name.clone(),
    };
    let shape = tensor.shape.as_ref().map(|shape| shape.iter().map(axis).collect::<Vec<_>>().join(", "));
    format!("{} {} [{}]", tensor.name, tensor.kind, shape.as_deref().unwrap_or("…"))
}

fn head(head: &HeadFacts) -> String {
    let scheme = head.scheme.map(|scheme| format!(" ({scheme})")).unwrap_or_default();
    let mut text = format!("{}: {}{scheme}, {} labels: {}", head.name, head.task, head.labels.len(), few(&head.labels));
    if (head.temperature - 1.0).abs() > f32::EPSILON {
        let _ = write!(text, "; temperature {}", head.temperature);
    }
    if !head.thresholds.is_empty() {
        let least = head.thresholds.iter().map(|(label, score)| format!("{label} {score}"));
        let _ = write!(text, "; thresholds {}", few(least));
    }
    text
}

fn tag(tag: &Tag) -> String {
    match tag {
        Tag::Class(class) => format!("{} {:.3}", class.label.as_deref().unwrap_or("none"), class.score),
        Tag::Number(number) => format!("{:.3}", number.value),
        Tag::Labels(labels) if labels.is_empty() => "none".into(),
        Tag::Labels(labels) => few(labels.iter().map(|label| format!("{} {:.3}", label.label, label.score))),
        Tag::Entities(entities) if entities.is_empty() => "none".into(),
        Tag::Entities(entities) => {
            few(entities.iter().map(|entity| format!("{} “{}” {:.3}", entity.kind, entity.text, entity.score)))
        }
    }
}

/// The first of a list, and how many more there are.
fn few<T: Display>(all: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>) -> String {
    let all = all.into_iter();
    let more = all.len().saturating_sub(FEW);
    let mut text = all.take(FEW).map(|one| one.to_string()).collect::<Vec<_>>().join(", ");
    if more > 0 {
        let _ = write!(text, ", … and {more} more");
    }
    text
}

fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).to_string()
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(" ")
}
