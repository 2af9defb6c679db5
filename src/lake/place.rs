//! Where files are: directories of this machine, buckets, web servers.

use std::fmt;
use std::path::{Component, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::TryStreamExt as _;
use globset::{GlobBuilder, GlobMatcher};
use object_store::local::LocalFileSystem;
use object_store::path::{Path, PathPart};
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, parse_url_opts};
use tokio::runtime::Builder;
use url::Url;

/// A file or a directory in a store.
#[derive(Clone)]
pub struct Place {
    /// What holds it.
    pub store: Arc<dyn ObjectStore>,
    /// Where in the store it is.
    pub path: Path,
    /// True on this machine's own file system.
    pub is_local: bool,
    /// Which of its kind: scheme and host.
    host: String,
    /// As it was written; without what may be a secret.
    shown: String,
}

/// A file to read.
pub struct Found {
    /// Where it is.
    pub place: Place,
    /// What its store says of it.
    pub meta: ObjectMeta,
    /// Its path below what was asked for, and the Hive partition that this is: where it goes below the output.
    pub relative: String,
    /// True if it was asked for by its own name.
    pub is_named: bool,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Place {
    /// A path, or a URL of one of the kinds that are supported.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self> {
        ensure!(!text.is_empty(), "an empty path");
        let Some((scheme, _)) = text.split_once("://") else { return Self::local(text) };
        let known = ["s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "http", "https", "file"];
        ensure!(known.contains(&scheme), "{scheme}:// is not supported: use a path, s3://, gs://, az:// or https://");
        // In the name of an object, these are letters like others.
        let is_web = matches!(scheme, "http" | "https");
        let text = &*match scheme {
            "http" | "https" | "file" => text.to_owned(),
            _ => text.replace('%', "%25").replace('#', "%23").replace('?', "%3F"),
        };
        let url = Url::parse(text).with_context(|| format!("a URL with {scheme}:// that is none"))?;
        ensure!(
            !is_web || url.query().is_none(),
            "what stands behind `?` would not be asked for: give a URL without it"
        );
        if scheme == "file" {
            let path = url.to_file_path().ok().context("file:// goes with an absolute path")?;
            return Self::local(&path.to_string_lossy());
        }
        // The standard variables of each cloud: AWS_…, GOOGLE_…, AZURE_….
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
            ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|cloud| name.starts_with(cloud)).then_some((name, value))
        });
        let settings = variables.map(|(name, value)| (name.to_ascii_lowercase(), value));
        let mut shown = url.clone();
        let _ = (shown.set_password(None), shown.set_username(""));
        shown.set_query(None);
        let (store, path) = parse_url_opts(&url, settings).with_context(|| shown.to_string())?;
        // The same bucket may be named in several ways.
        let host = if is_web { shown[..url::Position::BeforePath].to_owned() } else { store.to_string() };
        Ok(Self { store: store.into(), path, is_local: false, host, shown: shown.into() })
    }

    fn local(text: &str) -> Result<Self> {
        let mut path = PathBuf::new();
        for component in std::path::absolute(text)?.components() {
            if component == Component::ParentDir {
                path.pop();
            } else {
                path.push(component);
            }
        }
        // Through links, so that one directory is not taken for two; but the name of a file is its own.
        let known = path.ancestors().find(|directory| directory.is_dir());
        if let Some((known, real)) = known.and_then(|known| Some((known, known.canonicalize().ok()?))) {
            path = real.join(path.strip_prefix(known)?);
        }
        let location = Path::from_absolute_path(&path).with_context(|| text.to_owned())?;
        let (store, host) = (Arc::new(LocalFileSystem::new()), String::new());
        Ok(Self { store, path: location, is_local: true, host, shown: text.to_owned() })
    }

    /// One below this one; `relative` may have several parts.
    #[must_use]
    pub fn below(&self, relative: &str) -> Self {
        // As stores give names; what they could not have is encoded.
        let encoded = |part| PathPart::parse(part).unwrap_or_else(|_| PathPart::from(part));
        let parts = relative.split('/').filter(|part| !part.is_empty()).map(encoded);
        let path = parts.fold(self.path.clone(), Path::join);
        let shown = format!("{}/{relative}", self.shown.trim_end_matches('/'));
        Self { path, shown, ..self.clone() }
    }

    /// Whether it is the same file or directory, or one below it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.host == other.host && self.is_local == other.is_local && self.path.prefix_matches(&other.path)
    }

    /// One with this path in the same store.
    #[must_use]
    pub fn at(&self, path: Path) -> Self {
        let shown = format!("{} ({path})", self.shown);
        Self { path, shown, ..self.clone() }
    }

    /// The directory that it is in.
    #[must_use]
    pub fn parent(&self) -> Self {
        let parts: Vec<_> = self.path.parts().collect();
        let path = parts[..parts.len().saturating_sub(1)].iter().cloned().collect();
        let shown = self.shown.rsplit_once('/').map_or(".", |(parent, _)| parent).to_owned();
        Self { path, shown, ..self.clone() }
    }

    /// Which file of the world it is; says no secret.
    #[must_use]
    pub fn source(&self) -> String {
        format!("{}/{}", self.host, self.path)
    }

    /// Its own name, without the directories.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.filename().unwrap_or_default().to_owned()
    }

    /// Its path on this machine's file system.
    #[must_use]
    pub fn on_disk(&self) -> Option<PathBuf> {
        self.is_local.then(|| LocalFileSystem::new().path_to_filesystem(&self.path).ok()).flatten()
    }

    /// What the store says of it; none if there is no such file.
    ///
    /// # Errors
    /// When the store does not answer, or refuses.
    pub async fn find(&self) -> Result<Option<ObjectMeta>> {
        match self.store.head(&self.path).await {
            Ok(meta) => Ok(Some(meta)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error).with_context(|| self.shown.clone()),
        }
    }

    /// The bytes of a small file; none if there is none.
    ///
    /// # Errors
    /// As for [`Place::find`].
    pub async fn read(&self) -> Result<Option<Vec<u8>>> {
        let read = async { self.store.get(&self.path).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error).with_context(|| self.shown.clone()),
        }
    }

    /// Writes a small file at once.
    ///
    /// # Errors
    /// When it can't be written.
    pub async fn write(&self, bytes: Vec<u8>) -> Result<()> {
        let put = self.store.put(&self.path, bytes.into()).await;
        put.map(drop).with_context(|| format!("{self} can't be written"))
    }

    /// The same where there is none; false if there is one already.
    ///
    /// # Errors
    /// When it can't be written.
    pub async fn create(&self, bytes: Vec<u8>) -> Result<bool> {
        match self.store.put_opts(&self.path, bytes.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("{self} can't be written")),
        }
    }

    /// Waits for an answer of its store, where nothing else is to be done meanwhile.
    ///
    /// # Errors
    /// As what is waited for.
    pub fn wait<T>(&self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        Builder::new_current_thread().enable_all().build().with_context(|| self.shown.clone())?.block_on(answer)
    }

    /// Removes the file, if there is one.
    ///
    /// # Errors
    /// As for [`Place::find`].
    pub async fn remove(&self) -> Result<()> {
        match self.store.delete(&self.path).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error).with_context(|| self.shown.clone()),
        }
    }

    /// All files below it.
    ///
    /// # Errors
    /// As for [`Place::find`].
    pub async fn list(&self) -> Result<Vec<ObjectMeta>> {
        let listed = self.store.list(Some(&self.path)).try_collect().await;
        listed.with_context(|| format!("{} can't be listed", self.shown))
    }
}

/// An argument of `--input`: a file, a directory, or a pattern. Names that begin with `_` or `.` are not data, as everywhere in
/// the world of Hive, unless they are a partition's (`_day=1`).
pub struct Search {
    root: Place,
    pattern: Option<String>,
    glob: Option<GlobMatcher>,
}

impl Search {
    /// Understands it.
    ///
    /// # Errors
    /// When it is no path, URL or pattern.
    pub fn parse(input: &str) -> Result<Self> {
        let (fixed, pattern) = split(input);
        let glob = pattern.map(|pattern| GlobBuilder::new(pattern).literal_separator(true).build()).transpose()?;
        let glob = glob.map(|glob| glob.compile_matcher());
        Ok(Self { root: Place::parse(fixed)?, pattern: pattern.map(ToOwned::to_owned), glob })
    }

    /// The path below the directory that is asked for, if it is one of the files.
    fn fits(&self, path: &Path) -> Option<String> {
        let parts: Vec<_> = path.prefix_match(&self.root.path)?.map(|part| part.as_ref().to_owned()).collect();
        let relative = parts.join("/");
        let is_data = !parts.iter().any(|part| part.starts_with(['_', '.']) && !part.contains('='));
        (is_data && self.glob.as_ref().is_none_or(|glob| glob.is_match(&relative))).then_some(relative)
    }

    /// Whether it would find this place, too.
    #[must_use]
    pub fn would_find(&self, place: &Place) -> bool {
        place.is_within(&self.root) && self.fits(&place.path).is_some()
    }

    /// The files.
    ///
    /// # Errors
    /// When there is none.
    pub async fn find(&self) -> Result<Vec<Found>> {
        let root = &self.root;
        if self.pattern.is_none()
            && !root.path.as_ref().is_empty()
            && let Some(meta) = root.find().await?
        {
            let relative = partition(&root.parent().path) + &root.name();
            return Ok(vec![Found { relative, place: root.clone(), meta, is_named: true }]);
        }
        let above = partition(&root.path);
        let mut found = Vec::new();
        let all = root.list().await?;
        if let Some((name, table)) = all.iter().find_map(|meta| table(&root.path, &meta.location)) {
            bail!(
                "{root} holds a table of {table} ({name}), whose own notes say which of its files still count: \
                 read it with an engine that knows {table}, and enrich what that writes"
            );
        }
        for meta in all {
            if let Some(relative) = self.fits(&meta.location) {
                let place = Place { path: meta.location.clone(), ..root.below(&relative) };
                found.push(Found { place, meta, relative: format!("{above}{relative}"), is_named: false });
            }
        }
        let pattern = self.pattern.as_ref().map(|pattern| format!("/{pattern}")).unwrap_or_default();
        ensure!(!found.is_empty(), "{root}{pattern} names no file");
        found.sort_by(|one, other| one.relative.cmp(&other.relative));
        Ok(found)
    }
}

/// The note by which a directory is known to be a table's, whose files are not all data: some were replaced or deleted.
fn table<'p>(root: &Path, path: &'p Path) -> Option<(&'p str, &'static str)> {
    let relative = path.as_ref().strip_prefix(root.as_ref())?.trim_start_matches('/');
    let (directories, name) = relative.rsplit_once('/')?;
    let within = |directory: &str| directories.split('/').any(|part| part == directory);
    let table = if within("_delta_log") && path.extension() == Some("json") {
        "Delta Lake"
    } else if within("metadata") && name.ends_with(".metadata.json") {
        "Apache Iceberg"
    } else if within(".hoodie") {
        "Apache Hudi"
    } else {
        return None;
    };
    Some((relative, table))
}

/// The Hive partition that a directory is, if it is one: its last parts that are `key=value`, each with a slash behind it.
fn partition(directory: &Path) -> String {
    let parts: Vec<_> = directory.parts().map(|part| part.as_ref().to_owned()).collect();
    let table = parts.iter().rposition(|part| !part.contains('=')).map_or(0, |last| last + 1);
    parts[table..].iter().map(|part| format!("{part}/")).collect()
}

/// The part before a pattern, and the pattern.
fn split(input: &str) -> (&str, Option<&str>) {
    // In a URL, `?` begins the query.
    let special: &[char] = if input.contains("://") { &['*', '{', '['] } else { &['*', '{', '[', '?'] };
    let Some(first) = input.find(special) else { return (input, None) };
    match input[..first].rfind('/') {
        Some(slash) => (&input[..=slash], Some(&input[slash + 1..])),
        None => (".", Some(input)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_begins_behind_the_last_directory_without_one() {
        assert_eq!(split("a/b.parquet"), ("a/b.parquet", None));
        assert_eq!(split("a/b/*.parquet"), ("a/b/", Some("*.parquet")));
        assert_eq!(split("a/dt=2026-*/b.csv"), ("a/", Some("dt=2026-*/b.csv")));
        assert_eq!(split("s3://bucket/**/x.{csv,parquet}"), ("s3://bucket/", Some("**/x.{csv,parquet}")));
        assert_eq!(split("*.csv"), (".", Some("*.csv")));
    }

    #[test]
    fn places_keep_their_secrets() {
        let place = Place::parse("https://secret:secret@host/a/b.parquet").unwrap();
        assert!(!format!("{place} {place:?} {}", place.source()).contains("secret"), "{place}");
        for refused in
            ["https://me@host/a/b.parquet?signature=secret", "https://me:secret@ho st/a", "s3://me:secret@/a"]
        {
            let why = format!("{:#}", Place::parse(refused).unwrap_err());
            assert!(!why.contains("secret"), "{why}");
        }
        let odd = Place::parse("s3://bucket/a#1?.csv").unwrap();
        assert_eq!(odd.path.as_ref(), "a#1?.csv");
        assert!(Place::parse("ftp://host/a").unwrap_err().to_string().contains("ftp://"));
        assert_eq!(Place::parse("a/../b/./c").unwrap().path, Place::parse("b/c").unwrap().path);
    }

    #[tokio::test]
    async fn a_table_whose_notes_say_which_files_count_is_no_directory_of_files() {
        for (note, table) in [
            ("_delta_log/00000000000000000000.json", "Delta Lake"),
            ("metadata/00001-ab.metadata.json", "Apache Iceberg"),
            ("t/.hoodie/hoodie.properties", "Apache Hudi"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().display();
            for name in ["part-0.parquet", note] {
                let path = folder.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "x").unwrap();
            }
            for input in [format!("{root}"), format!("{root}/*.parquet")] {
                let why = Search::parse(&input).unwrap().find().await.err().unwrap().to_string();
                assert!(why.contains(table) && why.contains(note), "{why}");
            }
            let named = Search::parse(&format!("{root}/part-0.parquet")).unwrap().find().await.unwrap();
            assert_eq!(named.len(), 1, "a file that is named is meant");
        }
    }

    #[tokio::test]
    async fn hidden_names_are_no_data_and_partitions_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "dt=3/50% #1 ~{x}.csv",
            "_dt=4/a.csv",
            "dt=1/a.csv",
            "dt=1/_b.csv",
            "_tagbert/c.csv",
            ".d.csv",
            "dt=2/e f.csv",
            "f.txt",
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let root = folder.path().display();
        let names = async |input: String| {
            let found = Search::parse(&input).unwrap().find().await.unwrap();
            found.into_iter().map(|found| found.relative).collect::<Vec<_>>()
        };
        let odd = "dt=3/50% #1 ~{x}.csv";
        assert_eq!(names(root.to_string()).await, ["_dt=4/a.csv", "dt=1/a.csv", "dt=2/e f.csv", odd, "f.txt"]);
        let below = Place::parse(&root.to_string()).unwrap().below(odd);
        assert!(below.on_disk().unwrap().is_file(), "{below}");
        assert_eq!(names(format!("{root}/dt=[12]/?*.csv")).await, ["dt=1/a.csv", "dt=2/e f.csv"]);
        assert_eq!(names(format!("{root}/**/a.csv")).await, ["_dt=4/a.csv", "dt=1/a.csv"]);
        for one in ["dt=2/e f.csv", "dt=2", "dt=2/", "dt=2/*.csv"] {
            assert_eq!(names(format!("{root}/{one}")).await, ["dt=2/e f.csv"], "{one}");
        }
        assert!(Search::parse(&format!("{root}/*.orc")).unwrap().find().await.is_err());
        let would_find = |input: &str, name: &str| {
            Search::parse(&format!("{root}/{input}"))
                .unwrap()
                .would_find(&Place::parse(&format!("{root}/{name}")).unwrap())
        };
        assert!(would_find("", "out/a.csv") && would_find("**/*.csv", "out/a.csv"));
        assert!(
            !would_find("*.csv", "out/a.csv") && !would_find("", "_out/a.csv") && !would_find("dt=1", "dt=2/a.csv")
        );
    }
}
