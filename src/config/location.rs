//! Where a model is: what `model.path` may say.

use std::fmt;
use std::path::{Component, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

use super::installed;

/// Where a model is.
///
/// Its `String` is what was written; [`Display`](fmt::Display) and [`Debug`](fmt::Debug) leave out what may be a
/// secret.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Location {
    /// A directory of this machine.
    Directory(PathBuf),
    /// A repository of the Hugging Face hub: `hf://OWNER/NAME[@REVISION]`.
    Hub {
        /// `OWNER/NAME`, or `NAME` alone.
        repo: String,
        /// A branch, a tag or a commit; without it, the main branch.
        revision: Option<String>,
    },
    /// A directory elsewhere: `s3://BUCKET/PREFIX`, `https://HOST/PATH` or `http://HOST/PATH`.
    Remote(Url),
}

impl Location {
    /// What a model there is called, unless it has a name of its own: the last part. It is the same wherever its copy
    /// lies, and whatever a link leads to.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        let name = match self {
            Self::Directory(path) => match path.components().next_back()? {
                Component::Normal(name) => name.to_str()?.to_owned(),
                _ => path.canonicalize().ok()?.file_name()?.to_str()?.to_owned(),
            },
            Self::Hub { repo, .. } => repo.rsplit('/').next()?.to_owned(),
            Self::Remote(url) => {
                let last = url.path_segments().and_then(|mut parts| parts.next_back()).filter(|part| !part.is_empty());
                last.or(url.host_str())?.to_owned()
            }
        };
        Some(name)
    }

    /// Where it is on this machine, unless it has to be fetched.
    #[must_use]
    pub fn directory(&self) -> Option<PathBuf> {
        match self {
            Self::Directory(path) => Some(installed::find(path)),
            Self::Hub { .. } | Self::Remote(_) => None,
        }
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty: give a directory, or hf://OWNER/NAME".into());
        }
        let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
            return match ["hf", "s3", "http", "https"].iter().find(|scheme| is_mistyped(text, scheme)) {
                Some(scheme) => Err(format!("starts with `{scheme}:`: write {scheme}://, with two slashes")),
                None => Ok(Self::Directory(text.into())),
            };
        };
        match scheme.to_ascii_lowercase().as_str() {
            "hf" => hub(rest),
            "s3" | "http" | "https" => remote(text),
            "file" => Err("starts with file://: write the path alone".into()),
            other => Err(format!(
                "starts with {other}://, which is not supported: use a directory, hf://OWNER/NAME, \
                 s3://BUCKET/PREFIX or https://HOST/PATH"
            )),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
}

fn is_mistyped(text: &str, scheme: &str) -> bool {
    text.split_once(':').is_some_and(|(start, _)| start.eq_ignore_ascii_case(scheme))
}

fn hub(text: &str) -> Result<Location, String> {
    let (repo, revision) = match text.split_once('@') {
        Some((repo, revision)) => (repo, Some(revision)),
        None => (text, None),
    };
    let form = "write hf://OWNER/NAME, with @REVISION if it is not the main branch";
    let parts: Vec<&str> = repo.split('/').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(format!("has a part of hf://{repo} empty: {form}"));
    }
    if parts.len() > 2 {
        return Err(format!("has too many slashes in hf://{repo}: {form}"));
    }
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    // The cache writes a slash as `--`, so the hub allows no name with that.
    if parts.iter().any(|part| *part == "." || part.contains("..") || part.contains("--") || !part.chars().all(known)) {
        return Err(format!("names no model with hf://{repo}: letters, digits, `-`, `_` and `.` make a name; {form}"));
    }
    if let Some(revision) = revision {
        // It becomes a path below the cache.
        let odd = |part: &str| part.is_empty() || part == "." || part.contains("..");
        let strange = |c: char| c.is_whitespace() || c.is_control() || "\\?*[~^:".contains(c);
        if revision.split('/').any(odd) || revision.contains(strange) {
            return Err(format!("has no revision in `@{revision}`: use a branch, a tag or a commit"));
        }
    }
    Ok(Location::Hub { repo: repo.into(), revision: revision.map(Into::into) })
}

fn remote(text: &str) -> Result<Location, String> {
    // The text may hold a password, so it is not shown.
    let mut url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err("names no bucket: write s3://BUCKET/PREFIX".into());
    }
    url.set_fragment(None);
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty();
    }
    Ok(Location::Remote(url))
}

impl TryFrom<String> for Location {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Location> for String {
    fn from(location: Location) -> Self {
        match location {
            Location::Remote(url) => url.into(),
            other => other.to_string(),
        }
    }
}

impl From<PathBuf> for Location {
    fn from(directory: PathBuf) -> Self {
        Self::Directory(directory)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Hub { repo, revision: None } => write!(f, "hf://{repo}"),
            Self::Hub { repo, revision: Some(revision) } => write!(f, "hf://{repo}@{revision}"),
            Self::Remote(url) => f.write_str(public(url).as_str()),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The URL without user, password and query.
pub(crate) fn public(url: &Url) -> Url {
    let mut url = url.clone();
    // These fail for URLs without a host, which have neither.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(repo: &str, revision: Option<&str>) -> Location {
        Location::Hub { repo: repo.into(), revision: revision.map(Into::into) }
    }

    #[test]
    fn a_models_name_is_the_last_part_of_where_it_is() {
        for (text, name) in [
            ("models/sst2", "sst2"),
            ("models/sst2/", "sst2"),
            ("hf://owner/name@v1", "name"),
            ("hf://gpt2", "gpt2"),
            ("s3://bucket/a/b", "b"),
            ("s3://bucket", "bucket"),
            ("https://host/a/b/?token=1", "b"),
        ] {
            assert_eq!(text.parse::<Location>().unwrap().name().as_deref(), Some(name), "{text}");
        }
        assert!(Location::Directory("..".into()).name().is_some());
    }

    #[test]
    fn each_form_is_told_from_the_others() {
        let parse = |text: &str| text.parse::<Location>().unwrap();
        assert_eq!(parse("hf://distilbert/base"), hub("distilbert/base", None));
        assert_eq!(parse("hf://gpt2"), hub("gpt2", None));
        assert_eq!(parse("hf://o/n@v1.0"), hub("o/n", Some("v1.0")));
        assert_eq!(parse("hf://o/n@refs/pr/1"), hub("o/n", Some("refs/pr/1")));
        for path in ["models/tagbert-small", "/models/a", "./hf", "a@b", "./odd://name"] {
            assert_eq!(parse(path), Location::Directory(path.into()));
        }
        for url in ["s3://bucket/a/b", "https://host/a", "http://127.0.0.1:9000/a"] {
            assert_eq!(parse(url), Location::Remote(Url::parse(url).unwrap()));
        }
    }

    #[test]
    fn it_is_written_as_it_was_read() {
        for text in ["hf://o/n@refs/pr/1", "hf://gpt2", "models/a", "s3://bucket/a", "https://u:p@host/a?sig=1"] {
            let location: Location = text.parse().unwrap();
            assert_eq!(String::from(location.clone()), text);
            let json = serde_json::to_string(&location).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Location>(&json).unwrap(), location);
        }
    }

    #[test]
    fn a_slash_at_the_end_of_a_url_changes_nothing() {
        assert_eq!("s3://bucket/a/".parse::<Location>(), "s3://bucket/a".parse());
    }

    #[test]
    fn secrets_of_a_url_are_not_shown() {
        let location: Location = "https://user:pass@host/a?sig=secret".parse().unwrap();
        assert_eq!(location.to_string(), "https://host/a");
        assert_eq!(format!("{location:?}"), "https://host/a");
        assert!(!"https://user:pass@:x/".parse::<Location>().unwrap_err().contains("pass"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_to_write() {
        for (text, expected) in [
            ("", "give a directory"),
            ("hf:o/n", "two slashes"),
            ("hf:/o/n", "two slashes"),
            ("https:/host/a", "two slashes"),
            ("gs://bucket/a", "not supported"),
            ("file:///models", "the path alone"),
            ("hf://", "OWNER/NAME"),
            ("hf://o/", "empty"),
            ("hf:///n", "empty"),
            ("hf://o/n/", "empty"),
            ("hf://o/n/model.onnx", "too many slashes"),
            ("hf://../n", "names no model"),
            ("hf://o/a b", "names no model"),
            ("hf://o/a--b", "names no model"),
            ("hf://o/n@", "no revision"),
            ("hf://o/n@../main", "no revision"),
            ("hf://o/n@/main", "no revision"),
            ("s3:///prefix", "s3://BUCKET"),
            ("https://", "not a URL"),
        ] {
            let error = text.parse::<Location>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
