//! A loaded model: its manifest, its tokenizer, and the pool of its sessions.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use crossbeam_channel::{Receiver, Sender, unbounded};

use super::files::manifest::Manifest;
use super::files::stamp::Stamp;
use super::files::version::{files, hash_of};
use super::files::{fetch, layout};
use super::graph::graph_file::GraphFile;
use super::graph::onnx::Graph;
use super::session::gpu::Plan;
use super::session::widths::Widths;
use super::session::{Infer, Logits, Place, Session, device};
use super::tokenize::tokenizer::{self, Notes};
use super::tokenize::{Frame, Tokenizer};
use super::vocabulary::rows;
use crate::config::ModelSettings;
use crate::record::answer::Identity;

/// How often files are read that change meanwhile, as a model does that is being swapped.
const TRIES: u32 = 3;

/// A loaded model.
pub struct Model {
    /// Name and version.
    pub identity: Identity,
    /// What is known of it.
    pub manifest: Manifest,
    /// Its tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// The special tokens of each row.
    pub frame: Frame,
    /// The most tokens that it is fed at once, special ones included.
    pub max_tokens: usize,
    /// A hash of the tokenizer's files: models of equal ones can share its work.
    pub tokenizer_version: String,
    /// The directory that it was read from.
    pub directory: PathBuf,
    /// The graph within it.
    pub graph: PathBuf,
    /// The files that decide what its tags are, and so its version; not all have to be there.
    pub files: Vec<PathBuf>,
    /// How many tokens its embedding has rows for, if the tokenizer has more.
    pub rows: Option<usize>,
    /// How its files were read.
    pub notes: Notes,
    widths: Widths,
    /// Whether each row is run by itself.
    alone: bool,
    /// How many sessions it has, where those wait that are free, and where they come back.
    sessions: usize,
    free: Receiver<Box<dyn Infer>>,
    back: Sender<Box<dyn Infer>>,
}

impl Model {
    /// Fetches the model if it is elsewhere, loads it, checks that its parts fit together, and warms the session up.
    ///
    /// # Errors
    /// When a file is missing, broken, or does not fit the others.
    pub fn load(settings: &ModelSettings) -> Result<Self> {
        for _ in 0..TRIES {
            if let Some(model) = Self::read(settings)? {
                return Ok(model);
            }
        }
        bail!("{}: its files change while they are read; try again", settings.path)
    }

    /// None if files have changed meanwhile: the version could be that of others than those that were loaded (G-27).
    fn read(settings: &ModelSettings) -> Result<Option<Self>> {
        let variant = settings.variant.as_deref();
        let fetch::Fetched { directory, revision } = fetch::fetch(&settings.path, variant)?;
        ensure!(directory.is_dir(), "model.path: {} is not a directory", directory.display());
        let graph = layout::find_graph(&directory, variant);
        let files = graph.as_ref().map(|graph| files(&directory, graph)).unwrap_or_default();
        let before = Stamp::of_all(&files);
        let name = settings.path.name().unwrap_or_else(|| "model".into());
        let manifest = Manifest::load(&directory, name)?;
        let most = manifest.max_tokens;
        let max_tokens = settings.max_tokens.map_or(most, Into::into);
        ensure!(max_tokens <= most, "max_tokens is {max_tokens}, but {} takes only {most}", manifest.name);
        let (tokenizer, mut notes) = tokenizer::load_with_notes(&directory)?;
        notes.taken.splice(0..0, manifest.taken.iter().cloned());
        notes.unheeded.splice(0..0, manifest.unheeded.iter().cloned());
        let frame = tokenizer.frame(manifest.pad)?;
        let graph = graph?;
        // Weights may be in files of any name.
        let about = GraphFile::open(&graph)?.graph;
        ensure_is_variant(&about, variant, &graph)?;
        let beside = graph.parent().unwrap_or(&directory);
        let mut weights: Vec<PathBuf> = about.external.keys().map(|name| beside.join(name)).collect();
        weights.retain(|file| !files.contains(file));
        let weights_before = Stamp::of_all(&weights);
        let hash = hash_of(&directory, &[&files[..], &weights].concat())?;
        let gpu = device::resolve(settings.device, &about)?;
        let (sessions, threads) = device::sessions(gpu, settings.sessions, settings.threads);
        let plan = Plan { graph: &about, version: &hash, max_tokens, settings: settings.gpu };
        let place = gpu.map_or(Place::Cpu { threads }, |gpu| Place::Gpu(gpu, plan));
        let alone = about.is_scaled_by_batch() && is_consistent(settings.consistent, &graph);
        let (back, free) = unbounded::<Box<dyn Infer>>();
        for _ in 0..sessions {
            let session = Session::open(&graph, &manifest.heads, frame.clone(), place);
            let session = session.with_context(|| format!("{}: can't be used", graph.display()))?;
            drop(back.send(Box::new(session)));
        }
        let class = tokenizer::class(&directory)?;
        let words = hash_of(&directory, &layout::TOKENIZER_FILES.map(|name| directory.join(name)))?;
        let changed = Stamp::of_all(&files) != before || Stamp::of_all(&weights) != weights_before;
        let files = [files, weights].concat();
        let version = revision.map_or_else(|| hash.clone(), |revision| format!("{hash}@{revision}"));
        if changed {
            return Ok(None);
        }
        let mut model = Self {
            identity: Identity { name: manifest.name.as_str().into(), version: version.into() },
            manifest,
            tokenizer: Arc::new(tokenizer),
            frame,
            max_tokens,
            tokenizer_version: format!("{class} {words}"),
            directory,
            graph,
            files,
            rows: None,
            notes,
            widths: place.widths(),
            alone,
            sessions,
            free,
            back,
        };
        for _ in 0..sessions {
            let mut session = model.free.recv().context("a session is missing")?;
            let rows = model.warm_up(&mut *session, settings.gpu.batch_tokens);
            model.rows = rows.with_context(|| format!("{}: the warm-up failed", model.graph.display()))?;
            drop(model.back.send(session));
        }
        model.say_how_files_were_read();
        Ok(Some(model))
    }

    fn say_how_files_were_read(&self) {
        let place = self.directory.display();
        for line in &self.notes.unheeded {
            tracing::warn!("{place}: {line}");
        }
        if let Some(rows) = self.rows {
            tracing::warn!(
                "{place}: the tokenizer has {} tokens, and the embedding {rows} rows: documents with one of the others are \
                 refused. Resize it (`model.resize_token_embeddings(len(tokenizer))`), train, and export it again",
                self.tokenizer.last_id() + 1
            );
        }
    }

    /// The same model with something else to infer: a fake, or a wrapper.
    #[must_use]
    pub fn with_session(self, session: impl Infer + 'static) -> Self {
        self.with_sessions(vec![Box::new(session)])
    }

    /// The same with several, which run at once.
    #[must_use]
    pub fn with_sessions(mut self, sessions: Vec<Box<dyn Infer>>) -> Self {
        self.sessions = sessions.len();
        (self.back, self.free) = unbounded();
        for session in sessions {
            drop(self.back.send(session));
        }
        self
    }

    /// How many batches it runs at once.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// Runs a batch in the next session that is free: see [`Infer::infer`].
    ///
    /// # Errors
    /// When the batch can't be run.
    pub fn infer(&self, batch: &[&[u32]]) -> Result<Vec<Vec<Logits>>> {
        let session = self.free.recv().context("the sessions are gone")?;
        // Given back even after a panic: it leaves buffers that the next run fills anew (G-42).
        let mut session = scopeguard::guard(session, |session| drop(self.back.send(session)));
        session.infer(batch)
    }

    /// How wide a batch is whose longest row has so many tokens, special ones included: on a GPU, it is rounded up.
    #[must_use]
    pub fn width(&self, longest: usize) -> usize {
        self.widths.of(longest)
    }

    /// Whether each row is run by itself, so that none changes another's scores (`model.consistent`).
    #[must_use]
    pub fn runs_alone(&self) -> bool {
        self.alone
    }

    /// Whether it runs on a GPU.
    #[must_use]
    pub fn is_on_gpu(&self) -> bool {
        self.widths.are_few()
    }

    /// The first run is slow, and tells whether there is a second: a tokenizer of another model, too few positions or
    /// logits that are no numbers show here. Where widths are few, each is run, with as many rows as batches of so many
    /// tokens have. Tells how many tokens have rows in the embedding, if not all have.
    fn warm_up(&self, session: &mut dyn Infer, batch_tokens: usize) -> Result<Option<usize>> {
        let ids = self.tokenizer.encode(PROBE)?.ids;
        let room = self.max_tokens.saturating_sub(self.frame.len());
        ensure!(room > 0, "max_tokens is {}, which the special tokens fill", self.max_tokens);
        // Without tokens that have no row: only documents with such a one are refused.
        let fed = |rows: Option<usize>| {
            let mut ids = ids.clone();
            ids.retain(|id| rows.is_none_or(|rows| (*id as usize) < rows));
            if ids.is_empty() { vec![0] } else { ids }
        };
        // A GPU reads beyond an embedding without a word.
        let said = self.manifest.vocabulary.filter(|said| *said <= self.tokenizer.last_id() as usize);
        let said = said.filter(|_| self.is_on_gpu());
        let long: Vec<u32> = fed(said).into_iter().cycle().take(room).collect();
        for (rows, width) in self.widths.largest(batch_tokens) {
            let row = &long[..width.saturating_sub(self.frame.len())];
            session
                .infer(&vec![row; rows])
                .with_context(|| format!("with {rows} rows of {width} tokens; `batch.tokens` is {batch_tokens}"))?;
        }
        // Special tokens alone tell what the outputs are like; two rows, since there are graphs that take only one.
        if !self.frame.is_empty() {
            session.infer(&[&[], &[]])?;
        }
        let rows = rows(&self.tokenizer, &self.frame, session)?.or(said);
        let ids = fed(rows);
        let short = &ids[..ids.len().min(room)];
        let long: Vec<u32> = ids.iter().copied().cycle().take(room).collect();
        session.infer(&[short, &short[..short.len() / 2]])?;
        session.infer(&[&long]).with_context(|| format!("with max_tokens, {}", self.max_tokens))?;
        Ok(rows)
    }
}

/// The names of graphs say what they are, and may be wrong.
fn ensure_is_variant(about: &Graph, wanted: Option<&str>, graph: &Path) -> Result<()> {
    let is = about.precision();
    let wanted = wanted.filter(|wanted| ["fp32", "fp16", "int8"].contains(wanted) && about.parameter_count() > 0);
    ensure!(
        wanted.is_none_or(|wanted| wanted == is),
        "{}: the variant {} is asked for, and this graph is {is}: put the other one in its place, or ask for none, or for \
         this file by its name",
        graph.display(),
        wanted.unwrap_or_default()
    );
    Ok(())
}

/// A text to try a model with.
pub const PROBE: &str = "The quick brown fox jumps over the lazy dog.";

/// Says what it means that a graph is scaled by batch; gives what is to be done about it.
fn is_consistent(wanted: bool, graph: &Path) -> bool {
    if wanted {
        tracing::info!("{}: dynamic int8, so each document is run by itself (model.consistent)", graph.display());
    } else {
        tracing::warn!("{}: {SCALED_BY_BATCH}", graph.display());
    }
    wanted
}

/// What is wrong with dynamic int8, and what helps.
pub const SCALED_BY_BATCH: &str = "dynamic int8: a document's scores, and now and then its labels, change with what else \
    is in its batch. `models/recipe/quantise.py DIR --calibrate FILE` makes a static graph of the fp32 one, which has no \
    such fault and is taken by `model.variant: int8`; or set `model.consistent: true`, which is slower";

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("identity", &self.identity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use anyhow::bail;

    use super::*;
    use crate::config::{Config, Device};

    /// Panics, then fails, and then does well.
    struct Shaky(usize);

    impl Infer for Shaky {
        fn infer(&mut self, batch: &[&[u32]]) -> Result<Vec<Vec<Logits>>> {
            self.0 += 1;
            match self.0 {
                1 => panic!("a bug in the runtime"),
                2 => bail!("not this time"),
                _ => Ok(vec![Vec::new(); batch.len()]),
            }
        }
    }

    #[test]
    fn a_session_is_given_back_after_a_panic_and_after_an_error() {
        let mut config = Config::default();
        config.model.path = "tests/fixtures/tiny-distilbert".parse().unwrap();
        config.model.device = Device::Cpu;
        let model = Model::load(&config.taggers()[0].model).unwrap().with_session(Shaky(0));
        let batch: [&[u32]; 2] = [&[7], &[8, 9]];
        assert!(catch_unwind(AssertUnwindSafe(|| model.infer(&batch))).is_err());
        assert_eq!(model.free.len(), 1);
        assert_eq!(model.infer(&batch).unwrap_err().to_string(), "not this time");
        assert_eq!(model.free.len(), 1);
        assert_eq!(model.infer(&batch).unwrap().len(), 2);
    }
}
