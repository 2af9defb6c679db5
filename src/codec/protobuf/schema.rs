//! A schema, ready to be read by: the text of a `.proto` file, or its descriptor, as some serializers register it.
//!
//! Of its options those are kept that say what bytes mean. All others are notes for other programs, and what they are defined in
//! may be nowhere to be had: so they fail no schema.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::uninterpreted_option::NamePart;
use prost_reflect::prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, UninterpretedOption};
use prost_reflect::{FileDescriptor, MessageDescriptor};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use super::known;
use crate::codec::registry::Named;
use crate::codec::registry::schemas::Readable;

/// What the schema itself is called among those that it refers to. None of those has such a name.
const ITSELF: &str = "the schema itself";

/// No text nests deeper: it is parsed level within level.
const DEPTH: usize = 100;

/// A schema: a file of messages, and those that it imports.
#[derive(Clone, Debug)]
pub struct Schema(FileDescriptor);

impl Readable for Schema {
    const KIND: &'static str = "PROTOBUF";

    fn read(text: &str, references: &[Named]) -> Result<Self, String> {
        let mut files = HashMap::from([(ITSELF.to_owned(), file(ITSELF, text)?)]);
        for Named { name, text } in references {
            if !files.contains_key(name) {
                files.insert(name.clone(), file(name, text)?);
            }
        }
        let mut resolver = ChainFileResolver::new();
        resolver.add(Files(files));
        resolver.add(GoogleFileResolver::new());
        resolver.add(Absent);
        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.open_file(ITSELF).map_err(|error| error.to_string())?;
        let file = compiler.descriptor_pool().get_file_by_name(ITSELF);
        file.map(Self).ok_or_else(|| "it has no file".into())
    }
}

impl Schema {
    /// The message at a place: the number of a message of the file, the number of one within that, and so on.
    ///
    /// # Errors
    /// When there is none.
    pub fn message(&self, place: &[usize]) -> Result<MessageDescriptor, String> {
        let missing = || format!("its schema has no message at {place:?}");
        let (first, within) = place.split_first().ok_or_else(missing)?;
        let mut message = self.0.messages().nth(*first).ok_or_else(missing)?;
        for number in within {
            let child = message.child_messages().nth(*number);
            message = child.ok_or_else(missing)?;
        }
        // Entries of maps are counted as messages, but no record is one.
        if message.is_map_entry() { Err(missing()) } else { Ok(message) }
    }
}

/// The files that a registry has given.
struct Files(HashMap<String, File>);

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let known = || known::text(name).and_then(|text| file(name, text).ok());
        self.0.get(name).cloned().or_else(known).ok_or_else(|| protox::Error::file_not_found(name))
    }
}

/// What nobody has is taken for empty: an import may be there for the sake of an option alone. If it isn't, a type is missing.
struct Absent;

impl FileResolver for Absent {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let empty = FileDescriptorProto { name: Some(name.to_owned()), ..FileDescriptorProto::default() };
        Ok(File::from_file_descriptor_proto(empty))
    }
}

/// A file of a text, or of the base64 of its descriptor.
fn file(name: &str, text: &str) -> Result<File, String> {
    let descriptor = STANDARD.decode(text.trim()).ok().filter(|bytes| !bytes.is_empty());
    let mut file = match descriptor.and_then(|bytes| FileDescriptorProto::decode(&*bytes).ok()) {
        Some(file) => file,
        None if deepest(text) > DEPTH => return Err(format!("it nests deeper than {DEPTH} levels")),
        None => protox_parse::parse(name, text).map_err(|error| error.to_string())?,
    };
    file.name = Some(name.to_owned());
    file.options = None;
    file.service.clear();
    file.message_type.iter_mut().for_each(plain);
    file.enum_type.iter_mut().for_each(plain_enum);
    file.extension.iter_mut().for_each(|field| field.options = None);
    Ok(File::from_file_descriptor_proto(file))
}

/// How deep brackets nest in a text, without those in comments and strings.
fn deepest(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        rest = match first {
            '/' if after.starts_with('*') => behind(&after[1..], "*/"),
            '/' if after.starts_with('/') => behind(after, "\n"),
            // In the values of options.
            '#' => behind(after, "\n"),
            '"' | '\'' => behind_string(after, first),
            _ => after,
        };
        match first {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn behind<'t>(text: &'t str, end: &str) -> &'t str {
    text.split_once(end).map_or("", |(_, rest)| rest)
}

/// What comes behind a string, which ends with its quote, or, as one that is broken, with the line.
fn behind_string(text: &str, quote: char) -> &str {
    let mut is_escaped = false;
    let end = text.find(|letter| {
        let ends = letter == '\n' || (letter == quote && !is_escaped);
        is_escaped = letter == '\\' && !is_escaped;
        ends
    });
    end.map_or("", |end| &text[end + 1..])
}

/// The message without what its bytes don't depend on.
fn plain(message: &mut DescriptorProto) {
    let has_entry = has_entry(message);
    if let Some(options) = &mut message.options {
        // Older registries write out what the compiler knows of a map.
        let is_entry = options.map_entry() || is_set(&options.uninterpreted_option, "map_entry");
        message.options = (is_entry && has_entry).then(|| prost_reflect::prost_types::MessageOptions {
            map_entry: Some(true),
            ..prost_reflect::prost_types::MessageOptions::default()
        });
    }
    message.field.iter_mut().for_each(|field| field.options = None);
    message.oneof_decl.iter_mut().for_each(|oneof| oneof.options = None);
    message.extension_range.iter_mut().for_each(|range| range.options = None);
    message.extension.iter_mut().for_each(|field| field.options = None);
    message.enum_type.iter_mut().for_each(plain_enum);
    message.nested_type.iter_mut().for_each(plain);
}

/// Whether the fields are a key and its value. The library takes that for granted of what says that it is the entry of a map.
fn has_entry(message: &DescriptorProto) -> bool {
    let is_repeated = message.field.iter().any(|field| field.label() == Label::Repeated);
    let has_key = message.field.iter().any(|field| {
        // A type that is not known yet is that of a message, or of an enum.
        let of = field.r#type.and_then(|of| Type::try_from(of).ok());
        let is_no_key = matches!(
            of,
            None | Some(Type::Float | Type::Double | Type::Bytes | Type::Message | Type::Group | Type::Enum)
        );
        field.number() == 1 && !is_no_key
    });
    let has_value = message.field.iter().any(|field| field.number() == 2);
    message.field.len() == 2 && has_key && has_value && !is_repeated
}

fn plain_enum(kind: &mut EnumDescriptorProto) {
    if let Some(options) = &mut kind.options {
        let has_aliases = options.allow_alias() || is_set(&options.uninterpreted_option, "allow_alias");
        kind.options = has_aliases.then(|| prost_reflect::prost_types::EnumOptions {
            allow_alias: Some(true),
            ..prost_reflect::prost_types::EnumOptions::default()
        });
    }
    kind.value.iter_mut().for_each(|value| value.options = None);
}

fn is_set(options: &[UninterpretedOption], name: &str) -> bool {
    options.iter().any(|option| {
        let is_named = matches!(&*option.name, [NamePart { name_part, is_extension: false }] if name_part == name);
        is_named && option.identifier_value() == "true"
    })
}
