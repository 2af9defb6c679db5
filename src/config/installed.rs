//! What a release brings along, and where it is.

use std::env;
use std::path::{Path, PathBuf};

/// A path that is relative is looked for from the working directory, and where it is not there, from beside the
/// executable: a release has its models and its documents there (`make dist`), wherever it is unpacked.
#[must_use]
pub fn find(path: &Path) -> PathBuf {
    if path.is_absolute() || path.exists() {
        return path.into();
    }
    // Not the link that it was started by.
    let beside = env::current_exe().ok().and_then(|executable| Some(executable.parent()?.join(path)));
    beside.filter(|beside| beside.exists()).unwrap_or_else(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_here_is_looked_for_beside_the_executable() {
        let executable = env::current_exe().unwrap();
        let name = Path::new(executable.file_name().unwrap());
        assert_eq!(find(name), executable);
        for found_as_written in ["Cargo.toml", "no/such/file", "/no/such/file"] {
            assert_eq!(find(Path::new(found_as_written)), Path::new(found_as_written));
        }
    }
}
