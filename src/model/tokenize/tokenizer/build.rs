//! A tokenizer of each class, as the constructors of `transformers` 5 build it.

use anyhow::{Context, Result, anyhow, bail, ensure};
use tokenizers::models::bpe::BPE;
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::replace::Replace;
use tokenizers::normalizers::{BertNormalizer, Lowercase, NFKD, Sequence, StripAccents};
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence as InTurn;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::processors::template::{Template, TemplateProcessing};
use tokenizers::{Model as _, ModelWrapper, NormalizerWrapper, Tokenizer as HfTokenizer};

use super::added::Added;
use super::class::{Class, Kind};
use super::settings::{Files, JSON, Json, VOCABULARY};

/// Builds the tokenizer that the files describe.
pub(super) fn build(class: &Class, files: &Files, added: &Added) -> Result<HfTokenizer> {
    let builder = Builder { class, files, added };
    let mut tokenizer = match class.kind {
        Kind::Bert => builder.bert()?,
        Kind::Roberta => builder.roberta()?,
        Kind::XlmRoberta => builder.unigram(Some(3), None)?,
        Kind::Camembert => builder.unigram(None, None)?,
        Kind::Albert => builder.unigram(Some(1), Some(albert(files)?))?,
        Kind::AsItIs => builder.json()?.tokenizer.clone(),
    };
    let there = tokenizer.get_added_tokens_decoder().into_values().map(|token| token.content);
    let tokens = added.tokens(class.kind, there)?;
    tokenizer.add_tokens(tokens).map_err(|error| anyhow!(error))?;
    builder.frame(&mut tokenizer)?;
    tokenizer.set_encode_special_tokens(files.switch("split_special_tokens", false)?);
    Ok(tokenizer)
}

struct Builder<'a> {
    class: &'a Class,
    files: &'a Files,
    added: &'a Added,
}

impl Builder<'_> {
    fn json(&self) -> Result<&Json> {
        let Class { name, source, .. } = self.class;
        self.files.json.as_ref().with_context(|| format!("{source} is {name}, which needs a {JSON}"))
    }

    fn of_another_kind<T>(&self, wanted: &str) -> Result<T> {
        let Class { name, source, .. } = self.class;
        bail!("{source} is {name}, whose words are {wanted}, and those of this file are not")
    }

    fn special(&self, name: &str) -> Result<&str> {
        self.added.special(name, self.class.kind)
    }

    /// BERT's tokenizer (Devlin et al. 2018).
    fn bert(&self) -> Result<HfTokenizer> {
        let mut model = if let Some(json) = &self.files.json {
            match json.tokenizer.get_model() {
                ModelWrapper::WordPiece(model) => model.clone(),
                _ => return self.of_another_kind("word pieces"),
            }
        } else {
            let path = self.files.directory.join(VOCABULARY);
            let path = path.to_str().context("its path is not UTF-8")?;
            WordPiece::from_file(path).build().map_err(|error| anyhow!(error))?
        };
        let usual = WordPiece::default();
        model.unk_token = self.special("unk_token")?.into();
        model.continuing_subword_prefix = usual.continuing_subword_prefix;
        model.max_input_chars_per_word = usual.max_input_chars_per_word;
        // Without it, the library fails on the first text with an unknown word.
        ensure!(model.token_to_id(&model.unk_token).is_some(), "it has no `{}`", model.unk_token);
        let mut tokenizer = HfTokenizer::new(model);
        let normalizer = BertNormalizer::new(
            true,
            self.files.switch("tokenize_chinese_chars", true)?,
            self.files.optional_switch("strip_accents")?,
            self.files.switch("do_lower_case", true)?,
        );
        tokenizer
            .with_normalizer(Some(normalizer))
            .map_err(|error| anyhow!(error))?
            .with_pre_tokenizer(Some(BertPreTokenizer));
        Ok(tokenizer)
    }

    fn roberta(&self) -> Result<HfTokenizer> {
        let ModelWrapper::BPE(model) = self.json()?.tokenizer.get_model() else {
            return self.of_another_kind("a BPE's");
        };
        let usual = BPE::default();
        let mut model = model.clone();
        model.dropout = usual.dropout;
        model.unk_token.clone_from(&usual.unk_token);
        model.continuing_subword_prefix.clone_from(&usual.continuing_subword_prefix);
        model.end_of_word_suffix.clone_from(&usual.end_of_word_suffix);
        (model.fuse_unk, model.byte_fallback) = (usual.fuse_unk, usual.byte_fallback);
        model.ignore_merges = usual.ignore_merges;
        let mut tokenizer = HfTokenizer::new(model);
        let prefix_space = self.files.switch("add_prefix_space", false)?;
        tokenizer.with_pre_tokenizer(Some(ByteLevel::default().add_prefix_space(prefix_space)));
        Ok(tokenizer)
    }

    /// `SentencePiece`'s. Without `unknown`, that is the number of the unknown token.
    fn unigram(&self, unknown: Option<usize>, before: Option<Vec<NormalizerWrapper>>) -> Result<HfTokenizer> {
        let json = self.json()?;
        let ModelWrapper::Unigram(model) = json.tokenizer.get_model() else {
            return self.of_another_kind("a Unigram's");
        };
        let unknown = if let Some(unknown) = unknown {
            unknown
        } else {
            let name = self.special("unk_token")?;
            model.iter().position(|(token, _)| token == name).unwrap_or_default()
        };
        // Making one takes a while, with a quarter of a million words.
        let model = if json.unk_id == Some(unknown) && !model.byte_fallback() {
            model.clone()
        } else {
            Unigram::from(model.iter().cloned().collect(), Some(unknown), false).map_err(|error| anyhow!(error))?
        };
        let mut tokenizer = HfTokenizer::new(model);
        let rules = json.tokenizer.get_normalizer().and_then(rules);
        let normalizer = match before {
            None => rules,
            Some(before) => Some(Sequence::new(before.into_iter().chain(rules).collect()).into()),
        };
        let prefixed = self.files.truth("add_prefix_space", true)?;
        let scheme = if prefixed { PrependScheme::Always } else { PrependScheme::Never };
        let words = Metaspace::new('\u{2581}', scheme, true);
        tokenizer
            .with_normalizer(normalizer)
            .map_err(|error| anyhow!(error))?
            .with_pre_tokenizer(Some(InTurn::new(vec![WhitespaceSplit.into(), words.into()])));
        Ok(tokenizer)
    }

    /// Puts the special tokens around each text.
    fn frame(&self, tokenizer: &mut HfTokenizer) -> Result<()> {
        // ALBERT's own is set before the file's, which replaces it (transformers 5.23).
        let of_file = self.files.json.as_ref().and_then(|json| json.tokenizer.get_post_processor());
        if self.class.kind == Kind::Albert
            && let Some(own) = of_file
        {
            tokenizer.with_post_processor(Some(own.clone()));
            return Ok(());
        }
        let (before, after) = match self.class.kind {
            Kind::AsItIs => return Ok(()),
            Kind::XlmRoberta | Kind::Camembert => ("bos_token", "eos_token"),
            Kind::Bert | Kind::Roberta | Kind::Albert => ("cls_token", "sep_token"),
        };
        let ends = [self.special(before)?, self.special(after)?];
        let words = tokenizer.get_model();
        // Else it would be a token that the model was never trained with.
        let missing = ends.iter().find(|end| words.token_to_id(end).is_none() && !self.added.lists(end));
        if let Some(end) = missing {
            bail!("it has no `{end}`");
        }
        let id = |token: &str| tokenizer.token_to_id(token).with_context(|| format!("it has no `{token}`"));
        let [first, last] = [(ends[0].to_owned(), id(ends[0])?), (ends[1].to_owned(), id(ends[1])?)];
        if self.class.kind == Kind::Roberta {
            let processing = RobertaProcessing::new(last, first)
                .trim_offsets(self.files.switch("trim_offsets", true)?)
                .add_prefix_space(self.files.switch("add_prefix_space", false)?);
            tokenizer.with_post_processor(Some(processing));
        } else {
            let single = Template::try_from(vec![ends[0], "$A", ends[1]]).map_err(|error| anyhow!(error))?;
            let template = TemplateProcessing::builder().single(single).special_tokens(vec![first, last]).build()?;
            tokenizer.with_post_processor(Some(template));
        }
        Ok(())
    }
}

/// What ALBERT does to a text before `SentencePiece`'s rules.
fn albert(files: &Files) -> Result<Vec<NormalizerWrapper>> {
    let quotes = |quotes: &str| Replace::new(quotes, "\"").map_err(|error| anyhow!(error));
    let mut steps: Vec<NormalizerWrapper> = vec![quotes("``")?.into(), quotes("''")?.into()];
    if !files.truth("keep_accents", false)? {
        steps.extend([NFKD.into(), StripAccents.into()]);
    }
    if files.truth("do_lower_case", true)? {
        steps.push(Lowercase.into());
    }
    Ok(steps)
}

/// `SentencePiece`'s own rules, which are the only part of a `tokenizer.json`'s normalizer that counts.
fn rules(normalizer: &NormalizerWrapper) -> Option<NormalizerWrapper> {
    match normalizer {
        NormalizerWrapper::Precompiled(_) => Some(normalizer.clone()),
        NormalizerWrapper::Sequence(all) => all.as_ref().iter().find_map(rules),
        _ => None,
    }
}
