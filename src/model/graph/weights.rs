//! The tensors of an ONNX file: of what type, how many numbers, and whether their data is as long as that.

use anyhow::{Context, Result, ensure};

use super::protobuf::{Value, fields};

/// A type of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub name: &'static str,
    /// 0 for texts, whose sizes differ.
    bits: u64,
}

/// The types by their numbers in `TensorProto.DataType`, from 1 on.
const KINDS: [(&str, u64); 26] = [
    ("float32", 32),
    ("uint8", 8),
    ("int8", 8),
    ("uint16", 16),
    ("int16", 16),
    ("int32", 32),
    ("int64", 64),
    ("string", 0),
    ("bool", 8),
    ("float16", 16),
    ("float64", 64),
    ("uint32", 32),
    ("uint64", 64),
    ("complex64", 64),
    ("complex128", 128),
    ("bfloat16", 16),
    ("float8e4m3fn", 8),
    ("float8e4m3fnuz", 8),
    ("float8e5m2", 8),
    ("float8e5m2fnuz", 8),
    ("uint4", 4),
    ("int4", 4),
    ("float4e2m1", 4),
    ("float8e8m0", 8),
    ("uint2", 2),
    ("int2", 2),
];

impl Kind {
    pub fn of(number: u64) -> Result<Self> {
        let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let (name, bits) = place.and_then(|place| KINDS.get(place)).with_context(|| format!("no type {number}"))?;
        Ok(Self { name, bits: *bits })
    }
}

/// A tensor with data.
pub(super) struct Weights<'a> {
    pub name: &'a str,
    pub kind: Kind,
    /// The product of its axes.
    elements: u64,
    /// Its data as bytes.
    raw: Option<u64>,
    /// Its data as numbers or texts.
    typed: u64,
    pub external: Option<Range<'a>>,
}

/// Where the data of a tensor is in another file.
#[derive(Default)]
pub(super) struct Range<'a> {
    file: &'a str,
    offset: u64,
    length: Option<u64>,
}

impl<'a> Weights<'a> {
    pub fn read(message: &'a [u8]) -> Result<Self> {
        let (mut name, mut kind, mut raw, mut typed, mut elsewhere) = ("", 0, None, 0_u64, false);
        let (mut elements, mut empty, mut range) = (Some(1_u64), false, Range::default());
        for field in fields(message) {
            match field? {
                (1, shape) => {
                    for axis in shape.numbers() {
                        let axis = axis?;
                        ensure!(i64::try_from(axis).is_ok(), "an axis of negative length");
                        empty |= axis == 0;
                        elements = elements.and_then(|elements| elements.checked_mul(axis));
                    }
                }
                (2, number) => kind = number.number()?,
                (4, Value::Bytes(floats)) => typed += floats.len() as u64 / 4,
                (10, Value::Bytes(doubles)) => typed += doubles.len() as u64 / 8,
                // A number ends with the byte whose highest bit is not set.
                (5 | 7 | 11, Value::Bytes(numbers)) => {
                    typed += numbers.iter().filter(|byte| **byte < 0x80).count() as u64;
                }
                (6, _) | (4 | 5 | 7 | 10 | 11, Value::Number(_)) => typed += 1,
                (8, text) => name = text.text()?,
                (9, data) => raw = Some(data.bytes()?.len() as u64),
                (13, entry) => range.add(entry.bytes()?)?,
                (14, place) => elsewhere = place.number()? == 1,
                _ => (),
            }
        }
        let elements = if empty { Some(0) } else { elements };
        let elements = elements.with_context(|| format!("tensor `{name}` has more elements than can be counted"))?;
        let kind = Kind::of(kind).with_context(|| format!("tensor `{name}`"))?;
        Ok(Self { name, kind, elements, raw, typed, external: elsewhere.then_some(range) })
    }

    /// How many bytes it should have, and how many elements, if its data is as long as that.
    pub fn size(&self) -> Result<(u64, u64)> {
        let Kind { name, bits } = self.kind;
        let elements = self.elements;
        let bits_of_all = elements.checked_mul(bits).context("it has more elements than can be counted")?;
        let bytes = bits_of_all.div_ceil(8);
        if self.external.is_some() {
            return Ok((bytes, elements));
        }
        if let Some(raw) = self.raw.filter(|_| self.typed == 0) {
            ensure!(raw == bytes, "{elements} elements of type {name} are {bytes} bytes, and its data has {raw}");
            return Ok((bytes, elements));
        }
        let typed = match name {
            "complex64" | "complex128" => self.typed / 2,
            // An int32 holds one, or as many as fit into a byte.
            _ if bits > 0 && bits < 8 && self.typed < elements => self.typed.saturating_mul(8 / bits).min(elements),
            _ => self.typed,
        };
        ensure!(typed == elements, "it has {elements} elements of type {name}, and data for {typed}");
        Ok((bytes, elements))
    }
}

impl<'a> Range<'a> {
    fn add(&mut self, entry: &'a [u8]) -> Result<()> {
        let (mut key, mut value) = ("", "");
        for field in fields(entry) {
            match field? {
                (1, text) => key = text.text()?,
                (2, text) => value = text.text()?,
                _ => (),
            }
        }
        let number = || value.parse::<u64>().with_context(|| format!("the {key} of external data is `{value}`"));
        match key {
            "location" => self.file = value,
            "offset" => self.offset = number()?,
            "length" => self.length = Some(number()?),
            _ => (),
        }
        Ok(())
    }

    pub fn file_and_end(&self, bytes: u64) -> Result<(&'a str, u64)> {
        let length = self.length.unwrap_or(bytes);
        ensure!(length == bytes, "it needs {bytes} bytes, and has {length} in `{}`", self.file);
        let end = self.offset.checked_add(length).context("its external data ends nowhere")?;
        Ok((self.file, end))
    }
}
