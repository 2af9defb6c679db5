//! Which files a model's directory has, and which of them is the graph.

use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail, ensure};

/// What tells that a directory is a model.
pub const CONFIG: &str = "config.json";

/// What its heads are, if it has several.
pub const HEADS: &str = "heads.json";

/// How text becomes tokens, as the tokenizers library writes it.
pub const TOKENIZER: &str = "tokenizer.json";

/// The words of a tokenizer that has no such file.
pub const VOCABULARY: &str = "vocab.txt";

/// The tokenizer's settings.
pub const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// Its special tokens.
pub const SPECIAL_TOKENS: &str = "special_tokens_map.json";

/// Tokens beside its vocabulary.
pub const ADDED_TOKENS: &str = "added_tokens.json";

/// The files of the tokenizer; not all have to be there. Versions of models are hashed in this order.
pub const TOKENIZER_FILES: [&str; 5] = [TOKENIZER, TOKENIZER_CONFIG, VOCABULARY, SPECIAL_TOKENS, ADDED_TOKENS];

/// The files beside the graph: the first there must be, the others are taken when they are there. Revisions of models
/// in buckets are hashed in this order.
pub const SIDE_FILES: [&str; 7] =
    [CONFIG, HEADS, TOKENIZER, VOCABULARY, TOKENIZER_CONFIG, SPECIAL_TOKENS, ADDED_TOKENS];

/// Where the graph of a variant may be, the best place first.
///
/// A variant is `fp32`, `fp16`, `int8`, or the name of an ONNX file. Without one, the full graph is preferred.
///
/// # Errors
/// When there is no such variant.
pub fn graphs(variant: Option<&str>) -> Result<Vec<String>> {
    let Some(variant) = variant else {
        // The conversions on the hub are all in onnx/; a quantized graph alone is better than none.
        return Ok(owned(&[
            "model.onnx",
            "onnx/model.onnx",
            "onnx/model_quantized.onnx",
            "onnx/model_fp16.onnx",
            "model_quantized.onnx",
            "model_fp16.onnx",
        ]));
    };
    match variant {
        "fp32" => Ok(both("model.onnx")),
        "fp16" => Ok(both("model_fp16.onnx")),
        "int8" => Ok([both("model_quantized.onnx"), both("model_int8.onnx")].concat()),
        file if is_onnx(file) => {
            ensure!(is_inside(file), "`{variant}` is not a file of the model's own directory");
            Ok(both(file))
        }
        _ => bail!("`{variant}` is no variant: use fp32, fp16, int8, or the name of an ONNX file"),
    }
}

/// The names of files that may hold a graph's weights, when they are not in the graph itself.
#[must_use]
pub fn weights(graph: &str) -> [String; 2] {
    [format!("{graph}_data"), format!("{graph}.data")]
}

/// The graph of a directory.
///
/// # Errors
/// When there is no such variant, or no file of it.
pub fn find_graph(directory: &Path, variant: Option<&str>) -> Result<PathBuf> {
    let candidates = graphs(variant)?;
    if let Some(found) = candidates.iter().map(|name| directory.join(name)).find(|file| file.is_file()) {
        return Ok(found);
    }
    Err(no_graph(&directory.display().to_string(), variant, &candidates, onnx_files(directory)))
}

/// The ONNX files of a directory, each of which can be named as the variant.
#[must_use]
pub fn onnx_files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["", "onnx/"] {
        let entries = directory.join(folder).read_dir().into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        found.extend(names.filter(|name| is_onnx(name)).map(|name| format!("{folder}{name}")));
    }
    found.sort();
    found
}

/// The error that says what there is instead of the graph; `there` may name other files, too.
pub(crate) fn no_graph(
    place: &str,
    variant: Option<&str>,
    candidates: &[String],
    there: impl IntoIterator<Item = String>,
) -> anyhow::Error {
    let mut there: Vec<String> = there.into_iter().filter(|name| is_onnx(name)).collect();
    there.sort();
    let of = variant.map(|variant| format!(" for the variant `{variant}`")).unwrap_or_default();
    let tried = candidates.join(", ");
    if there.is_empty() {
        return anyhow::anyhow!("{place}: no graph{of}: none of {tried} is there; make one: optimum-cli export onnx");
    }
    anyhow::anyhow!(
        "{place}: no graph{of}: none of {tried} is there, but {}: name one as the variant",
        there.join(", ")
    )
}

/// True for the name of a file that does not lead out of the directory.
pub(crate) fn is_inside(name: &str) -> bool {
    Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) && !name.contains('\\')
}

fn is_onnx(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "onnx")
}

fn both(name: &str) -> Vec<String> {
    vec![name.into(), format!("onnx/{name}")]
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.into()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn directory(files: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            let file = directory.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        directory
    }

    #[test]
    fn the_best_graph_that_is_there_is_found() {
        for (files, variant, expected) in [
            (&["model.onnx", "onnx/model.onnx"][..], None, "model.onnx"),
            (&["onnx/model.onnx", "onnx/model_quantized.onnx"], None, "onnx/model.onnx"),
            (&["onnx/model_fp16.onnx", "onnx/model_quantized.onnx"], None, "onnx/model_quantized.onnx"),
            (&["model.onnx", "onnx/model_fp16.onnx"], Some("fp16"), "onnx/model_fp16.onnx"),
            (&["model.onnx", "onnx/model_int8.onnx"], Some("int8"), "onnx/model_int8.onnx"),
            (&["onnx/model_quantized.onnx", "model_int8.onnx"], Some("int8"), "onnx/model_quantized.onnx"),
            (&["model.onnx", "onnx/model_q4.onnx"], Some("model_q4.onnx"), "onnx/model_q4.onnx"),
            (&["deep/down/a.onnx"], Some("deep/down/a.onnx"), "deep/down/a.onnx"),
        ] {
            let directory = directory(files);
            assert_eq!(find_graph(directory.path(), variant).unwrap(), directory.path().join(expected));
        }
    }

    #[test]
    fn an_error_names_the_graphs_that_are_there() {
        let directory = directory(&["config.json", "model.onnx", "onnx/model_q4.onnx"]);
        let error = find_graph(directory.path(), Some("fp16")).unwrap_err().to_string();
        assert!(error.contains("model.onnx, onnx/model_q4.onnx: name one"), "{error}");
        assert!(!error.contains("config.json"), "{error}");
    }

    #[test]
    fn a_variant_can_not_lead_out_of_the_directory() {
        for variant in ["../model.onnx", "/model.onnx", "a/../../b.onnx"] {
            assert!(graphs(Some(variant)).is_err(), "{variant}");
        }
    }

    #[test]
    fn an_unknown_variant_is_refused_with_the_choices() {
        let error = graphs(Some("int4")).unwrap_err().to_string();
        assert!(error.contains("fp32, fp16, int8"), "{error}");
    }
}
