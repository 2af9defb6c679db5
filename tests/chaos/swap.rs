//! Models that are swapped under the workers' feet, as a `ConfigMap` or a release does it: a link that leads elsewhere.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::arena::Arena;
use crate::support::line::TINY;
use crate::support::root;

/// Settings of the workers: they look often, two sessions share the work, and answers are kept.
pub const SETTINGS: [&str; 4] = ["model.watch=200ms", "model.sessions=2", "model.threads=1", "cache.size=1MiB"];

/// Copies a model; its `config.json` ends in so many more lines, so that a worker takes it for another one.
pub fn copy(model: &Path, to: &Path, lines: usize) {
    fs::create_dir_all(to).unwrap();
    let files = fs::read_dir(model).unwrap().map(|entry| entry.unwrap().path());
    for file in files.filter(|path| path.is_file()) {
        fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
    let config = to.join("config.json");
    fs::write(&config, fs::read_to_string(&config).unwrap() + &"\n".repeat(lines)).unwrap();
}

/// A model's directory, and the link that leads to the one in use.
pub struct Models {
    folder: PathBuf,
    swaps: usize,
}

impl Models {
    /// Two of the same tags, but not of the same files: a worker takes one for another model.
    pub fn lay_out(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("models-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        for lines in [0, 1] {
            copy(&root().join(TINY), &folder.join(lines.to_string()), lines);
        }
        symlink("0", folder.join("current")).unwrap();
        Self { folder, swaps: 0 }
    }

    /// Where the workers find it.
    pub fn path(&self) -> String {
        self.folder.join("current").display().to_string()
    }

    /// Has the link lead to the other one, from one moment to the next.
    pub fn swap(&mut self) {
        self.swaps += 1;
        let next = self.folder.join("next");
        symlink((self.swaps % 2).to_string(), &next).unwrap();
        fs::rename(next, self.folder.join("current")).unwrap();
    }

    /// Swaps them while documents come, and takes a worker away meanwhile.
    pub fn inject(&mut self, arena: &mut Arena<'_>, documents: usize) {
        arena.write(documents / 2);
        self.swap();
        arena.pass(1200);
        let (n, kill) = (arena.any_worker(), arena.rng.u8(0..3) > 0);
        if kill {
            arena.fleet.kill(n);
        } else {
            arena.fleet.terminate(n);
        }
        self.swap();
        arena.fleet.grow(arena.size);
        arena.write(documents - documents / 2);
        arena.pass(1500);
    }

    /// Whether the workers have really changed their models.
    pub fn check(&self, arena: &mut Arena<'_>) {
        let changed = arena.fleet.said(", instead of ");
        if changed < self.swaps / 4 {
            arena.stalled.push(format!("{}: {changed} reloads after {} swaps", arena.name, self.swaps));
        }
    }
}

impl Drop for Models {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
