//! The house keeps its shape: each import in `src/` goes down, none goes round, and no file stands outside of the wings.
//!
//! What would hide an import from this test is refused: modules by `#[path]`, `include!`, other names for the crate, globs, items
//! and re-exports in the crate's root.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Item, ItemExternCrate, ItemMod, ItemUse, Macro, UseTree, Visibility};

/// The wings by floor, from the top down. A wing imports from floors below its own, and of its own floor only itself.
const FLOORS: [&[&str]; 8] = [
    &["commands"],
    &["worker"],
    &["kafka", "lake"],
    &["pipeline"],
    &["tagger", "codec"],
    &["model", "route"],
    &["telemetry"],
    &["record", "config"],
];

/// So many entries of `src/` can be taken in at a glance.
const ENTRIES: usize = 14;

/// A module: its names from the crate's root down.
type Module = Vec<String>;

/// The modules of a folder, each with its file, and what they import: the imported module and the line that says so.
#[derive(Default)]
struct House {
    files: BTreeMap<Module, PathBuf>,
    imports: BTreeMap<Module, Vec<(Module, usize)>>,
    /// What would hide an import.
    hidden: Vec<String>,
}

impl House {
    fn read(src: &Path) -> Self {
        let mut house = Self::default();
        for file in rust_files(src) {
            let module = module_of(file.strip_prefix(src).unwrap());
            if module.is_empty() {
                house.hidden.extend(Self::root_hides(&file));
            } else {
                house.files.insert(module, file);
            }
        }
        for (module, file) in &house.files {
            let parsed = syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap();
            let mut reader = Reader { module: module.clone(), found: Vec::new(), hidden: Vec::new() };
            reader.visit_file(&parsed);
            let mut imports = Vec::new();
            for (path, line) in reader.found {
                match house.owner(&path) {
                    Some(imported) if imported != *module => imports.push((imported, line)),
                    Some(_) => {}
                    None => reader.hidden.push((line, "a path that leads to the crate's root")),
                }
            }
            house.imports.insert(module.clone(), imports);
            let hidden = reader.hidden.into_iter().map(|(line, what)| format!("{}:{line}: {what}", file.display()));
            house.hidden.extend(hidden);
        }
        house
    }

    /// The library's root has the wings and nothing else; the binary's has what no wing can import.
    fn root_hides(file: &Path) -> Vec<String> {
        if file.ends_with("main.rs") {
            return Vec::new();
        }
        let parsed = syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap();
        let others = parsed.items.iter().filter(|item| !matches!(item, Item::Mod(module) if module.content.is_none()));
        others.map(|_| format!("{}: an item that is no module of its own file", file.display())).collect()
    }

    /// The module whose file has what stands at a path; `None` for the crate's root.
    fn owner(&self, path: &[String]) -> Option<Module> {
        let prefixes = (1..=path.len()).rev().map(|length| &path[..length]);
        prefixes.map(<[String]>::to_vec).find(|prefix| self.files.contains_key(prefix))
    }

    fn place(&self, module: &Module, line: usize) -> String {
        format!("{}:{line}", self.files[module].display())
    }

    fn outside_of_the_wings(&self) -> Vec<String> {
        let homeless = self.files.iter().filter(|(module, _)| !module.is_empty() && floor(module).is_none());
        homeless.map(|(_, file)| format!("{}: stands in no wing; FLOORS has them", file.display())).collect()
    }

    fn climbs(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (module, imports) in &self.imports {
            for (imported, line) in imports {
                let (Some(own), Some(other)) = (floor(module), floor(imported)) else { continue };
                if module[0] != imported[0] && other <= own {
                    let (place, wing) = (self.place(module, *line), &module[0]);
                    found.push(format!("{place}: `{wing}` may not import `{}`: it does not stand below", imported[0]));
                }
            }
        }
        found
    }

    /// Modules that import each other, by whatever detours. The parts of a folder may use what its own file has.
    fn circles(&self) -> Vec<String> {
        let next = |module: &Module| {
            let imports = self.imports.get(module).into_iter().flatten();
            let counts = |imported: &Module| !module.starts_with(imported) && !is_test(imported);
            imports.filter(|(imported, _)| counts(imported)).cloned().collect::<Vec<_>>()
        };
        let mut circles = BTreeSet::new();
        for start in self.files.keys().filter(|module| !is_test(module)) {
            // Breadth first, so that the shortest way round is told.
            let mut ways = BTreeMap::from([(start.clone(), Vec::new())]);
            let mut front = vec![start.clone()];
            while let Some(module) = (!front.is_empty()).then(|| front.remove(0)) {
                for (imported, line) in next(&module) {
                    let mut way: Vec<String> = ways[&module].clone();
                    way.push(self.place(&module, line));
                    if imported == *start {
                        way.sort();
                        circles.insert(format!("a circle of imports: {}", way.join(", ")));
                    } else if !ways.contains_key(&imported) {
                        ways.insert(imported.clone(), way);
                        front.push(imported);
                    }
                }
            }
        }
        circles.into_iter().collect()
    }
}

fn is_test(module: &Module) -> bool {
    module.iter().any(|name| name == "tests")
}

fn floor(module: &Module) -> Option<usize> {
    FLOORS.iter().position(|wings| wings.contains(&&*module[0]))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// `tagger/cache/mod.rs` and `tagger/cache.rs` are `tagger::cache`; `lib.rs` and `main.rs` are the root.
fn module_of(file: &Path) -> Module {
    let mut names: Module = file.with_extension("").iter().map(|name| name.to_str().unwrap().into()).collect();
    if matches!(names.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        names.pop();
    }
    names
}

/// Collects the paths of a file that lead to the crate's own modules, from the root down.
struct Reader {
    module: Module,
    found: Vec<(Module, usize)>,
    /// The lines that would hide an import, and how.
    hidden: Vec<(usize, &'static str)>,
}

impl Reader {
    fn add(&mut self, path: &[String], line: usize) {
        let mut base = self.module.clone();
        let mut rest = path;
        match path.first().map(String::as_str) {
            Some("crate") => (base, rest) = (Module::new(), &path[1..]),
            // A method's receiver, or visibility.
            Some("self" | "super") if path.len() == 1 => return,
            Some("self") => rest = &path[1..],
            Some("super") => {}
            _ => return,
        }
        while let Some((_, after)) = rest.split_first().filter(|(first, _)| *first == "super") {
            base.pop();
            rest = after;
        }
        self.found.push(([&base[..], rest].concat(), line));
    }

    /// Paths within a macro's arguments are words, for the parser.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut start = 0;
        for token in tokens {
            match &token {
                TokenTree::Ident(word) if path.last().is_none_or(|before| before == ":") => {
                    start = if path.is_empty() { word.span().start().line } else { start };
                    path.retain(|part| part != ":");
                    path.push(word.to_string());
                    continue;
                }
                TokenTree::Punct(colon) if colon.as_char() == ':' && !path.is_empty() => {
                    if path.last().is_some_and(|before| before != ":") {
                        path.push(":".into());
                    }
                    continue;
                }
                _ => {}
            }
            path.retain(|part| part != ":");
            self.add(&std::mem::take(&mut path), start);
            if let TokenTree::Ident(word) = &token {
                (start, path) = (word.span().start().line, vec![word.to_string()]);
            }
            if let TokenTree::Group(group) = token {
                self.add_tokens(group.stream());
            }
        }
        path.retain(|part| part != ":");
        self.add(&path, start);
    }

    fn add_tree(&mut self, tree: &UseTree, before: &[String], line: usize) {
        match tree {
            UseTree::Path(path) => self.add_tree(&path.tree, &[before, &[path.ident.to_string()]].concat(), line),
            UseTree::Name(name) => self.add(&[before, &[name.ident.to_string()]].concat(), line),
            UseTree::Rename(name) => self.add(&[before, &[name.ident.to_string()]].concat(), line),
            UseTree::Glob(_) => {
                let ours = before.first().is_some_and(|first| ["crate", "self", "super"].contains(&first.as_str()));
                if ours && !is_test(&self.module) {
                    self.hidden.push((line, "a glob"));
                }
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(tree, before, line)),
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_tree(&item.tree, &[], item.use_token.span.start().line);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&names, path.segments[0].ident.span().start().line);
        visit::visit_path(self, path);
    }

    /// `pub(crate)` imports nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_macro(&mut self, call: &'ast Macro) {
        let name = call.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
        let line = call.path.segments[0].ident.span().start().line;
        if name == "include" {
            self.hidden.push((line, "include!"));
        }
        self.add_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast ItemExternCrate) {
        self.hidden.push((item.extern_token.span.start().line, "another name for a crate"));
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.attrs.iter().any(|attribute| attribute.path().is_ident("path")) {
            self.hidden.push((item.mod_token.span.start().line, "a module by #[path]"));
        }
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn imports_go_down() {
    let climbs = House::read(&src()).climbs();
    assert!(climbs.is_empty(), "{}", climbs.join("\n"));
}

#[test]
fn no_imports_go_round() {
    let circles = House::read(&src()).circles();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn no_import_hides() {
    let hidden = House::read(&src()).hidden;
    assert!(hidden.is_empty(), "{}", hidden.join("\n"));
}

#[test]
fn every_file_stands_in_a_wing() {
    let homeless = House::read(&src()).outside_of_the_wings();
    assert!(homeless.is_empty(), "{}", homeless.join("\n"));
    let entries = fs::read_dir(src()).unwrap().count();
    assert!(entries <= ENTRIES, "src/ has {entries} entries; {ENTRIES} can be taken in at a glance");
}

#[test]
fn the_map_shows_each_wing_and_from_the_top_floor_down() {
    let lib = fs::read_to_string(src().join("lib.rs")).unwrap();
    // Rows of the journey begin with a stage, which is no link.
    let wing = |row: &str| Some(row.strip_prefix("//! | [`")?.split_once("`]")?.0.to_owned());
    let wings: Vec<String> = lib.lines().filter_map(wing).collect();
    assert_eq!(wings, FLOORS.concat());
}

/// A house of these files.
fn house(files: &[(&str, &str)]) -> House {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in files {
        let file = folder.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    House::read(folder.path())
}

#[test]
fn a_climb_is_found_however_it_is_written() {
    for climb in [
        "use crate::worker::Worker;",
        "use {std::fs, crate::{record::Record, worker::{self, Worker as W}}};",
        "fn go() { crate::worker::start(); }",
        "mod inner { use super::super::super::worker::Worker; }",
        "use self::super::super::worker::Worker;",
        "fn go() { ensure!(left == 1, \"{}\", crate::worker::name(2)); }",
        "fn go() { vec![(1, crate::worker::name)]; }",
        "#[cfg(test)] mod tests { use crate::worker::Worker; }",
    ] {
        let house = house(&[("tagger/infer.rs", climb), ("worker/mod.rs", ""), ("record/mod.rs", "")]);
        let climbs = house.climbs();
        assert!(!climbs.is_empty(), "{climb}");
        assert!(climbs[0].contains("tagger/infer.rs:1: `tagger` may not import `worker`"), "{}", climbs[0]);
    }
    let neighbours = house(&[("tagger/infer.rs", "use crate::codec::decode;"), ("codec/decode.rs", "")]);
    assert_eq!(neighbours.climbs().len(), 1, "wings of one floor don't know each other");
    let down = house(&[("worker/mod.rs", "use crate::record::Record;"), ("record/mod.rs", "")]);
    assert!(down.climbs().is_empty());
}

#[test]
fn what_would_hide_an_import_is_found() {
    for hiding in [
        "use crate::*;",
        "use crate as c;",
        "use crate::Worker;",
        "use super::super::*;",
        "extern crate self as tagbert;",
        "include!(\"../worker/mod.rs\");",
        "#[path = \"../worker/mod.rs\"] mod worker;",
    ] {
        let house =
            house(&[("tagger/infer.rs", hiding), ("worker/mod.rs", ""), ("lib.rs", "pub mod tagger; pub mod worker;")]);
        assert!(!house.hidden.is_empty(), "{hiding}");
    }
    assert_eq!(house(&[("lib.rs", "pub mod worker; pub use worker::Worker;"), ("worker/mod.rs", "")]).hidden.len(), 1);
    let tests = house(&[
        ("record/a.rs", "mod tests { use super::*; use proptest::prelude::*; }"),
        ("lib.rs", "pub mod record;"),
    ]);
    assert!(tests.hidden.is_empty(), "{:?}", tests.hidden);
}

#[test]
fn a_circle_is_found_once_whatever_its_length() {
    let two = house(&[("record/a.rs", "use super::b::B;"), ("record/b.rs", "use crate::record::a::A;")]);
    assert_eq!(two.circles().len(), 1, "{:?}", two.circles());
    let three = house(&[
        ("record/a.rs", "use super::b::B;"),
        ("record/b.rs", "\nuse super::c::C;"),
        ("record/c.rs", "use super::a::A;"),
    ]);
    let circles = three.circles();
    assert_eq!(circles.len(), 1, "{circles:?}");
    assert!(circles[0].contains("record/b.rs:2"), "{}", circles[0]);
    let folder = house(&[("record/mod.rs", "use self::a::A;"), ("record/a.rs", "use super::B;")]);
    assert!(folder.circles().is_empty(), "a part may use what its folder's own file has");
    let detour = house(&[
        ("record/mod.rs", "use self::a::A;"),
        ("record/a.rs", "use crate::model::B;"),
        ("model.rs", "use crate::record::C;"),
    ]);
    assert_eq!(detour.circles().len(), 1, "but not by way of others: {:?}", detour.circles());
}

#[test]
fn a_file_outside_of_the_wings_is_found() {
    assert_eq!(house(&[("attic.rs", ""), ("lib.rs", ""), ("record/mod.rs", "")]).outside_of_the_wings().len(), 1);
}
