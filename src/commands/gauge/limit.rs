//! The share of the machine's limit: how long the models' arithmetic alone would take, at the rate of plain matrix
//! products of the same shapes, against how long tagging takes.

use anyhow::Result;

use super::Documents;
use super::gemm::{Gemm, Precision};
use super::shape::{Shape, is_integer};
use crate::tagger::taggers::Taggers;

/// The arithmetic of the models, and the matrix products that it is compared with.
#[derive(Debug)]
pub struct Limit {
    /// For each lane: operations for all documents, and which of the products.
    work: Vec<(f64, usize)>,
    gemms: Vec<Products>,
}

/// Matrix products of one shape, in both precisions.
#[derive(Debug)]
struct Products {
    shape: Shape,
    /// Which of the two the model computes in.
    own: Precision,
    fp32: Gemm,
    int8: Gemm,
}

/// The limit, measured once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Seconds that the documents would take at the rate of plain products in the models' own precisions.
    pub seconds: f64,
    /// Operations a second, of the first model's shape.
    pub fp32: f64,
    /// The same with bytes.
    pub int8: f64,
}

impl Limit {
    /// Prepares it for the documents. Without special effort for padding: it is no work that anybody wants.
    ///
    /// # Errors
    /// With the reason why the limit is not known: a shape that the model does not tell, or a device other than the CPU.
    pub fn of(taggers: &Taggers, documents: &Documents) -> Result<Self, &'static str> {
        let (mut work, mut gemms) = (Vec::new(), Vec::<Products>::new());
        for lane in &taggers.lanes {
            let shape = Shape::of(&lane.model.directory).ok_or("config.json does not say how large the model is")?;
            let integer = is_integer(&lane.model.graph).ok_or("the model's file can't be read any more")?;
            let own = if integer { Precision::Int8 } else { Precision::Fp32 };
            let rows = documents.rows(lane).map(|ids| ids.len() + lane.model.frame.len());
            let operations = rows.map(|tokens| shape.operations(tokens)).sum();
            let known = gemms.iter().position(|known| known.shape == shape && known.own == own);
            let place = known.unwrap_or(gemms.len());
            if known.is_none() {
                let open = |precision| Gemm::open(shape, precision).map_err(|_| "ONNX Runtime refuses the products");
                gemms.push(Products { shape, own, fp32: open(Precision::Fp32)?, int8: open(Precision::Int8)? });
            }
            work.push((operations, place));
        }
        Ok(Self { work, gemms })
    }

    /// The precision of the first model.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.gemms[0].own
    }

    /// Runs the products.
    ///
    /// # Errors
    /// When ONNX Runtime fails.
    pub fn measure(&mut self) -> Result<Measured> {
        let rates = self.gemms.iter_mut().map(|gemm| Ok((gemm.fp32.measure()?, gemm.int8.measure()?)));
        let rates = rates.collect::<Result<Vec<_>>>()?;
        let seconds = self.work.iter().map(|&(operations, place)| {
            let (fp32, int8) = rates[place];
            operations / if self.gemms[place].own == Precision::Int8 { int8 } else { fp32 }
        });
        Ok(Measured { seconds: seconds.sum(), fp32: rates[0].0, int8: rates[0].1 })
    }
}
