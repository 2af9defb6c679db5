//! The taggers of a worker, loaded: which texts are tokenized, which models run on them, and which tags come of it.
//!
//! What several taggers have in common is done once: a *reader* for each text and tokenizer, a *lane* for each model on
//! a reader's tokens.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use super::cache::Claim;
use super::names::{self, Named};
use super::tags::Reading;
use super::windows::Windows;
use crate::config::{Config, LongDocuments, ModelSettings, TaggerSettings, WindowSettings};
use crate::model::files::manifest::{Head, Task};
use crate::model::loaded::Model;
use crate::model::session::Logits;
use crate::model::tokenize::{Encoded, Place, Tokenizer};
use crate::model::vocabulary::check;
use crate::record::answer::{Answer, Given, Identity, Secret};
use crate::record::document::Document;
use crate::record::rejection::Rejection;
use crate::record::tag::{Tag, TagKind};

/// All that is needed to tag. A reload makes a new one; documents keep to the one that they began with.
#[derive(Debug)]
pub struct Taggers {
    /// Which load this is; no two of a process have the same number.
    pub load: u64,
    /// The most bytes that tokens and logits of a byte of text take, as [`Work::size`] counts them.
    pub most_for_a_byte: usize,
    readers: Vec<Reader>,
    /// The models to run, one after the other.
    pub lanes: Vec<Lane>,
    tags: Vec<TagOf>,
}

/// A text to tokenize.
#[derive(Debug)]
struct Reader {
    /// Which of the document's texts.
    text: usize,
    tokenizer: Arc<Tokenizer>,
}

/// A model, and what it runs on.
#[derive(Debug)]
pub struct Lane {
    /// The model.
    pub model: Arc<Model>,
    /// How long documents are cut for it.
    pub windows: Windows,
    /// Which of the encoded texts.
    reader: usize,
}

/// Where a tag comes from.
#[derive(Debug)]
struct TagOf {
    lane: usize,
    head: usize,
    reading: Reading,
}

/// A document between decode and assemble: what the stages have made of it so far.
#[derive(Debug)]
pub struct Work {
    /// Who tags it.
    pub taggers: Arc<Taggers>,
    /// The document.
    pub document: Document,
    /// Its texts as tokens, one for each reader; `None` where it has no such text.
    encoded: Vec<Option<Encoded>>,
    /// What the lanes gave so far, by head; empty where there is no such text.
    pub logits: Vec<Vec<Logits>>,
    /// Others that have the same texts wait for its answer, if there is a cache.
    pub claim: Option<Claim>,
    /// Since when it could be run by the next lane's model.
    pub ready: Instant,
}

/// Bytes of a token, and where it stands.
const TOKEN: usize = size_of::<u32>() + size_of::<Place>();

/// Bytes of a window that waits for its run: where it begins and ends, and what it is of.
const WINDOW: usize = 128;

/// How many loads there were.
static LOADS: AtomicU64 = AtomicU64::new(0);

impl Taggers {
    /// Loads all models of the configuration.
    ///
    /// # Errors
    /// When a model can't be used, or a tagger asks for what its model has not.
    pub fn load(config: &Config) -> Result<Self> {
        Self::load_with(config, &Model::load)
    }

    /// The same with models of another kind.
    ///
    /// # Errors
    /// As for [`Taggers::load`].
    pub fn load_with(config: &Config, load: &impl Fn(&ModelSettings) -> Result<Model>) -> Result<Self> {
        let (mut loaded, mut texts) = (Vec::<(ModelSettings, Arc<Model>)>::new(), Vec::new());
        let mut taggers = Self {
            load: LOADS.fetch_add(1, Ordering::Relaxed),
            most_for_a_byte: 0,
            readers: Vec::new(),
            lanes: Vec::new(),
            tags: Vec::new(),
        };
        let mut lanes: Vec<(ModelSettings, usize, WindowSettings)> = Vec::new();
        for settings in config.taggers() {
            let about = || settings.name.as_ref().map_or("model".into(), |name| format!("tagger `{name}`"));
            let known = loaded.iter().find(|(known, _)| *known == settings.model).map(|(_, model)| Arc::clone(model));
            let model = if let Some(model) = known {
                model
            } else {
                let model = Arc::new(load(&settings.model).with_context(about)?);
                loaded.push((settings.model.clone(), Arc::clone(&model)));
                model
            };
            let text = place_of(&mut texts, settings.text.clone());
            let lane = place_of(&mut lanes, (settings.model.clone(), text, settings.windows));
            if lane == taggers.lanes.len() {
                let windows = windows(&model, settings.windows).with_context(about)?;
                let reader = taggers.reader(text, &loaded, &model);
                taggers.lanes.push(Lane { model: Arc::clone(&model), windows, reader });
            }
            taggers.add_tags(&settings, lane, &model).with_context(about)?;
            taggers.mask(config, &settings).with_context(about)?;
        }
        taggers.ensure_finds(config)?;
        let named: Vec<_> = taggers.tags.iter().map(|tag| taggers.named(tag)).collect();
        names::check(&config.output, &named)?;
        taggers.most_for_a_byte = taggers.sum_for_a_byte();
        Ok(taggers)
    }

    /// One that reads this text with a tokenizer like the model's: a new one, if there is none yet.
    fn reader(&mut self, text: usize, loaded: &[(ModelSettings, Arc<Model>)], model: &Arc<Model>) -> usize {
        let alike =
            loaded.iter().map(|(_, model)| model).find(|other| other.tokenizer_version == model.tokenizer_version);
        let tokenizer = &alike.unwrap_or(model).tokenizer;
        let known =
            self.readers.iter().position(|reader| reader.text == text && Arc::ptr_eq(&reader.tokenizer, tokenizer));
        known.unwrap_or_else(|| {
            self.readers.push(Reader { text, tokenizer: Arc::clone(tokenizer) });
            self.readers.len() - 1
        })
    }

    fn add_tags(&mut self, settings: &TaggerSettings, lane: usize, model: &Model) -> Result<()> {
        let heads = &model.manifest.heads;
        let names = || heads.iter().map(|head| &*head.name).collect::<Vec<_>>().join(", ");
        let mut chosen: Vec<_> = heads.iter().enumerate().collect();
        if let Some(wanted) = &settings.head {
            chosen.retain(|(_, head)| *head.name == **wanted);
            ensure!(!chosen.is_empty(), "{} has no head `{wanted}`; it has {}", model.identity.name, names());
        }
        // Of all heads: those that are inherited from `model` may be meant for another tagger.
        let known = |label: &str| heads.iter().any(|head| head.names().iter().any(|name| ***name == *label));
        if let Some(label) = settings.thresholds.keys().find(|label| !known(label)) {
            bail!("there is a threshold for `{label}`, which is no label of {}", model.identity.name);
        }
        ensure!(
            settings.labels.is_none() || chosen.len() == 1,
            "`labels` are those of one head: pick it by `head`, one of {}",
            names()
        );
        for (head, about) in &chosen {
            let name = match &settings.name {
                Some(name) if chosen.len() == 1 => Arc::from(name.as_str()),
                _ => Arc::clone(&about.name),
            };
            let twice = self.tags.iter().any(|tag| tag.reading.name == name);
            ensure!(
                !twice,
                "another tagger gives a tag `{name}` already; pick heads by `head`, and name them by `name`"
            );
            self.tags.push(TagOf { lane, head: *head, reading: Reading::new(name, about, settings)? });
        }
        Ok(())
    }

    /// Notes which names are to be masked, in the tags of this tagger.
    fn mask(&mut self, config: &Config, settings: &TaggerSettings) -> Result<()> {
        let lane = self.tags.last().map(|tag| tag.lane);
        for tag in self.tags.iter_mut().filter(|tag| Some(tag.lane) == lane) {
            let head = &self.lanes[tag.lane].model.manifest.heads[tag.head];
            tag.reading.mask(head, config.masked_types());
            ensure!(
                tag.reading.masked().next().is_none() || settings.windows.long_documents == LongDocuments::Windows,
                "`redact` masks names that it finds, but with `long_documents: truncate` it reads only the beginning"
            );
        }
        Ok(())
    }

    /// Refuses to mask names that nobody looks for.
    fn ensure_finds(&self, config: &Config) -> Result<()> {
        let heads = self.tags.iter().map(|tag| self.head(tag));
        let types: BTreeSet<_> = heads.filter(|head| head.is_by_token()).flat_map(Head::names).collect();
        if let Some((kind, _)) = config.masked_types().find(|(kind, _)| !types.iter().any(|known| ***known == **kind)) {
            let types = types.iter().map(|kind| &***kind).collect::<Vec<_>>().join(", ");
            bail!("`redact` has `entities: [{kind}]`, a type that no tagger finds; there are: {types}");
        }
        Ok(())
    }

    /// Tokenizes a document's texts.
    ///
    /// # Errors
    /// When a tokenizer refuses a text.
    pub fn encode(self: &Arc<Self>, document: Document) -> Result<Work, Rejection> {
        let encode = |reader: &Reader| {
            document.texts[reader.text].as_ref().map(|text| reader.tokenizer.encode(text.as_str())).transpose()
        };
        let encoded = self.readers.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
        for lane in &self.lanes {
            if let Some(text) = &encoded[lane.reader] {
                check(&text.ids[..lane.windows.seen(text.ids.len())], lane.model.rows)?;
            }
        }
        let logits = Vec::with_capacity(self.lanes.len());
        Ok(Work { taggers: Arc::clone(self), document, encoded, logits, claim: None, ready: Instant::now() })
    }

    fn sum_for_a_byte(&self) -> usize {
        // No tokenizer makes more tokens than there are bytes, but for rare forms that its rules spell out.
        let tokens = self.readers.len() * TOKEN;
        let of_lane = |lane: &Lane| {
            lane.windows.step().map_or(0, |step| lane.logits_of_token() + lane.size_of_window().div_ceil(step))
        };
        tokens + self.lanes.iter().map(of_lane).sum::<usize>()
    }

    /// The names of the tags, in the order of the configuration.
    #[must_use]
    pub fn names(&self) -> Vec<&Arc<str>> {
        self.tags.iter().map(|tag| &tag.reading.name).collect()
    }

    /// The tags by name, and what kind of task gives each, in the order of the configuration.
    pub fn tags_and_tasks(&self) -> impl Iterator<Item = (&Arc<str>, &Task)> {
        self.tags.iter().map(|tag| (&tag.reading.name, &self.head(tag).task))
    }

    fn named<'a>(&'a self, tag: &'a TagOf) -> Named<'a> {
        let (reading, head) = (&tag.reading, self.head(tag));
        Named { name: &reading.name, head, labels: reading.labels_of(head) }
    }

    fn head(&self, tag: &TagOf) -> &Head {
        &self.lanes[tag.lane].model.manifest.heads[tag.head]
    }

    /// The tags by name, and what each can say, in the order of the configuration.
    #[must_use]
    pub fn kinds(&self) -> Vec<(Arc<str>, TagKind)> {
        let kind = |tag: &TagOf| tag.reading.kind(&self.lanes[tag.lane].model.manifest.heads[tag.head]);
        self.tags.iter().map(|tag| (Arc::clone(&tag.reading.name), kind(tag))).collect()
    }

    /// The models, in the order of the configuration.
    #[must_use]
    pub fn models(&self) -> Vec<&Identity> {
        models(self.lanes.iter())
    }
}

impl Lane {
    /// The tokens that it runs on; `None` if the document has none for it.
    #[must_use]
    pub fn tokens<'a>(&self, work: &'a Work) -> Option<&'a Encoded> {
        work.encoded[self.reader].as_ref()
    }

    /// Bytes of the logits of a token: those of heads for documents count for the window that they are of.
    fn logits_of_token(&self) -> usize {
        let heads = self.model.manifest.heads.iter().filter(|head| head.is_by_token());
        heads.map(|head| head.labels.len()).sum::<usize>() * size_of::<f32>()
    }

    /// Bytes of a text of so many tokens on its way: each window with its logits, and those of all tokens.
    fn size(&self, tokens: usize) -> usize {
        self.windows.count(tokens) * self.size_of_window() + self.windows.seen(tokens) * self.logits_of_token()
    }

    fn size_of_window(&self) -> usize {
        let heads = self.model.manifest.heads.iter().filter(|head| !head.is_by_token());
        WINDOW + heads.map(|head| head.labels.len()).sum::<usize>() * size_of::<f32>()
    }
}

impl Work {
    /// Bytes of its tokens, its windows, and the logits to come.
    #[must_use]
    pub fn size(&self) -> usize {
        let tokens = self.encoded.iter().flatten().map(|text| text.ids.len() * TOKEN);
        let lanes = self.taggers.lanes.iter();
        let logits = lanes.map(|lane| lane.tokens(self).map_or(0, |text| lane.size(text.ids.len())));
        self.document.size() + tokens.sum::<usize>() + logits.sum::<usize>()
    }

    /// The tags, by name, in the order of the configuration.
    #[must_use]
    pub fn tags(&self) -> Vec<(&Arc<str>, Tag)> {
        let named = self.taggers.tags.iter().filter_map(|of| Some((&of.reading.name, self.tag(of)?.1)));
        named.collect()
    }

    /// A tag, and which text it is about; `None` if the document has no such text.
    fn tag(&self, of: &TagOf) -> Option<(usize, Tag)> {
        let lane = &self.taggers.lanes[of.lane];
        let logits = self.logits.get(of.lane)?.get(of.head)?;
        let place = self.taggers.readers[lane.reader].text;
        let (text, tokens) = (self.document.texts[place].as_ref()?, lane.tokens(self)?);
        Some((place, of.reading.read(self.taggers.head(of), text.as_str(), tokens, logits)))
    }

    /// The names in its text that are to be masked.
    fn secrets(&self, of: &TagOf) -> Option<Vec<Secret>> {
        let lane = &self.taggers.lanes[of.lane];
        let logits = self.logits.get(of.lane)?.get(of.head)?;
        let number = self.taggers.readers[lane.reader].text;
        let (text, tokens) = (self.document.texts[number].as_ref()?, lane.tokens(self)?);
        Some(of.reading.secrets(&lane.model.manifest.heads[of.head], number, text.as_str(), tokens, logits))
    }

    /// All that the taggers say of it.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let (mut tags, mut absent, mut secrets) = (Vec::new(), Vec::new(), Vec::new());
        for of in &self.taggers.tags {
            let name = Arc::clone(&of.reading.name);
            match self.tag(of) {
                Some((text, tag)) => tags.push(Given { name, text, tag }),
                None => absent.push(name),
            }
            secrets.extend(self.secrets(of).into_iter().flatten());
        }
        Answer {
            load: self.taggers.load,
            tags,
            absent,
            secrets,
            models: self.models().into_iter().cloned().collect(),
            tokens: self.seen(),
            truncated: self.is_truncated(),
        }
    }

    /// The models that tagged it, in the order of the configuration; one at least.
    #[must_use]
    pub fn models(&self) -> Vec<&Identity> {
        models(self.taggers.lanes.iter().filter(|lane| lane.tokens(self).is_some()))
    }

    /// How many tokens were tagged, special ones included; the most of all lanes.
    #[must_use]
    pub fn seen(&self) -> usize {
        let lanes = self.taggers.lanes.iter();
        let seen =
            lanes.filter_map(|lane| Some(lane.windows.seen(lane.tokens(self)?.ids.len()) + lane.model.frame.len()));
        seen.max().unwrap_or_default()
    }

    /// True when a lane saw only the beginning of a text.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        let cut =
            |lane: &Lane| lane.tokens(self).is_some_and(|text| lane.windows.seen(text.ids.len()) < text.ids.len());
        self.taggers.lanes.iter().any(cut)
    }
}

/// The models of some lanes, each once.
fn models<'a>(lanes: impl Iterator<Item = &'a Lane>) -> Vec<&'a Identity> {
    let mut models = Vec::new();
    for lane in lanes {
        place_of(&mut models, &lane.model.identity);
    }
    models
}

/// The place of `what` in the list, at whose end it is put if it is not there.
fn place_of<T: PartialEq>(list: &mut Vec<T>, what: T) -> usize {
    list.iter().position(|known| *known == what).unwrap_or_else(|| {
        list.push(what);
        list.len() - 1
    })
}

fn windows(model: &Model, settings: WindowSettings) -> Result<Windows> {
    let (most, special) = (model.max_tokens, model.frame.len());
    let window = settings.window.map_or(most, Into::into);
    ensure!(window <= most, "window is {window}, but {} is fed {most} tokens at most", model.identity.name);
    ensure!(window > special, "window is {window}, which the special tokens fill");
    match settings.long_documents {
        LongDocuments::Truncate => Ok(Windows::truncate(window - special)),
        LongDocuments::Windows => {
            let stride = settings.stride.unwrap_or(window / 8);
            Windows::new(window - special, stride).with_context(|| {
                format!("stride is {stride}: windows of {window} tokens would never get on; set a smaller `stride`")
            })
        }
    }
}
