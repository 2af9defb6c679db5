//! A volume with a model, as the kubelet mounts a `ConfigMap`: each file is a link by way of `..data`, which is itself a link
//! that is replaced at once.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::support::root;
use crate::swap;

/// Models of the same tags, but not of the same files: a worker takes each for another model.
pub struct Volume {
    folder: PathBuf,
    model: PathBuf,
    changes: usize,
}

impl Volume {
    /// With the files of this model.
    pub fn lay_out(model: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("volume-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let volume = Self { folder, model: root().join(model), changes: 0 };
        volume.write("..0", 0);
        symlink("..0", volume.folder.join("..data")).unwrap();
        for file in fs::read_dir(volume.folder.join("..0")).unwrap() {
            let name = file.unwrap().file_name();
            symlink(Path::new("..data").join(&name), volume.folder.join(&name)).unwrap();
        }
        volume
    }

    fn write(&self, name: &str, lines: usize) {
        swap::copy(&self.model, &self.folder.join(name), lines);
    }

    /// Where it is mounted.
    pub fn path(&self) -> String {
        self.folder.display().to_string()
    }

    /// Gives it other files, from one moment to the next.
    pub fn change(&mut self) {
        self.changes += 1;
        let (name, next) = (format!("..{}", self.changes), self.folder.join("..data_tmp"));
        self.write(&name, self.changes);
        symlink(&name, &next).unwrap();
        fs::rename(next, self.folder.join("..data")).unwrap();
    }

    /// Lays out one more model, and tells where.
    pub fn another(&mut self) -> String {
        self.changes += 1;
        self.write("another", self.changes);
        self.folder.join("another").display().to_string()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
