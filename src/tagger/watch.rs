//! Looks after the files of models that are on this machine.

use std::path::PathBuf;

use super::taggers::Taggers;
use crate::config::Config;
use crate::model::files::stamp::{Stamp, Stamps};

/// Files, as they were when they were last loaded (or refused), and as they were at the last look.
#[derive(Debug, Default)]
pub struct Watch {
    known: Stamps,
    seen: Stamps,
}

impl Watch {
    /// Looks at the files. True once they are others than the known ones and have been so since the last look: what is
    /// still being copied must not be loaded.
    pub fn has_settled(&mut self) -> bool {
        let now = Stamp::of_all(self.known.keys());
        let settled = now == self.seen && now != self.known;
        self.seen = now;
        settled
    }

    /// Takes the files for known as they are now. Call it before they are loaded: what changes meanwhile is news.
    pub fn take_note(&mut self) {
        self.known = Stamp::of_all(self.known.keys());
        self.seen = self.known.clone();
    }

    /// Watches these files from now on. Those that it has watched before stay known as they were.
    pub fn follow(&mut self, files: &[PathBuf]) {
        let known = |file: &PathBuf| self.known.get(file).copied().unwrap_or_else(|| Stamp::of(file));
        self.known = files.iter().map(|file| (file.clone(), known(file))).collect();
        self.seen = self.known.clone();
    }
}

/// The files of those models that the configuration has in directories. (The others are fetched, and don't change.)
#[must_use]
pub fn local_files(config: &Config, taggers: &Taggers) -> Vec<PathBuf> {
    let taggers_here = config.taggers().into_iter().filter_map(|settings| settings.model.path.directory());
    let directories: Vec<PathBuf> = taggers_here.collect();
    let models = taggers.lanes.iter().map(|lane| &lane.model);
    models.filter(|model| directories.contains(&model.directory)).flat_map(|model| model.files.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// A file that is watched, and its directory.
    fn watched() -> (Watch, PathBuf, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("model.onnx");
        fs::write(&file, "one").unwrap();
        let mut watch = Watch::default();
        watch.follow(std::slice::from_ref(&file));
        (watch, file, directory)
    }

    fn two_looks(watch: &mut Watch) -> [bool; 2] {
        [watch.has_settled(), watch.has_settled()]
    }

    #[test]
    fn a_file_that_is_still_being_written_has_not_settled() {
        let (mut watch, file, _directory) = watched();
        assert_eq!(two_looks(&mut watch), [false, false]);
        fs::write(&file, "half").unwrap();
        assert!(!watch.has_settled());
        fs::write(&file, "whole by now").unwrap();
        assert_eq!(two_looks(&mut watch), [false, true]);
        watch.take_note();
        assert_eq!(two_looks(&mut watch), [false, false], "it is known now");
        fs::remove_file(&file).unwrap();
        assert_eq!(two_looks(&mut watch), [false, true], "a file that is gone is a change, too");
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for version in ["one", "two"] {
            fs::create_dir(path(version)).unwrap();
            fs::write(path(version).join("model.onnx"), "same").unwrap();
        }
        symlink("one", path("..data")).unwrap();
        symlink("..data/model.onnx", path("model.onnx")).unwrap();
        let mut watch = Watch::default();
        watch.follow(&[path("model.onnx")]);
        symlink("two", path("..new")).unwrap();
        fs::rename(path("..new"), path("..data")).unwrap();
        assert_eq!(two_looks(&mut watch), [false, true]);
    }

    #[test]
    fn what_changes_while_it_is_loaded_is_news() {
        let (mut watch, file, _directory) = watched();
        watch.take_note();
        fs::write(&file, "another").unwrap();
        watch.follow(&[file]);
        assert_eq!(two_looks(&mut watch), [false, true]);
    }
}
