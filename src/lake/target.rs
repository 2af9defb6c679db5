//! Where results go: a directory, which other processes may fill as well, or one file.

use anyhow::Result;
use tokio::runtime::Handle;

use super::book::{Book, Done, Input, Job};
use super::claims::Claims;
use super::look::Destination;
use super::place::Place;

/// Where results go.
pub enum Target {
    /// Files, with the notes of the job beside them.
    Directory(Box<Shared>),
    /// One file, of which nothing needs to be known.
    File(Place),
}

/// A directory that several processes fill.
pub struct Shared {
    output: Place,
    book: Book,
    claims: Claims,
}

/// Where the results of a file go.
pub struct Paths {
    /// The rows with their tags.
    pub to: Place,
    /// The rows that could not be tagged.
    pub rejected: Place,
    /// What is not whole yet.
    pub scratch: Place,
}

impl Target {
    /// Opens it for a job. Claims are renewed on the runtime.
    ///
    /// # Errors
    /// When it has the results of another job.
    pub async fn open(destination: Destination, job: &Job, runtime: &Handle) -> Result<Self> {
        Ok(match destination {
            Destination::File(file) => Self::File(file),
            Destination::Directory(output) => {
                let book = Book::open(&output, job).await?;
                let claims = Claims::new(book.claims(), runtime);
                Self::Directory(Box::new(Shared { output, book, claims }))
            }
        })
    }

    /// Where the results of a file go.
    pub fn paths(&self, relative: &str) -> Paths {
        match self {
            Self::Directory(shared) => Paths {
                to: shared.output.below(relative),
                rejected: shared.book.rejected(relative),
                scratch: shared.book.scratch(),
            },
            Self::File(file) => Paths { to: file.clone(), rejected: self.rejected(), scratch: file.parent() },
        }
    }

    /// Where all rows are that could not be tagged: a directory with a file for each, or the file of the only one.
    pub fn rejected(&self) -> Place {
        match self {
            Self::Directory(shared) => shared.book.all_rejected(),
            Self::File(file) => file.parent().below(&format!("_{}.rejected.jsonl", file.name())),
        }
    }

    /// The hash of the job.
    pub fn job(&self) -> &str {
        self.shared().map_or("", |shared| shared.book.job())
    }

    /// What is done of a file already.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn done(&self, input: &Input) -> Result<Option<Done>> {
        match self.shared() {
            Some(shared) => shared.book.done(input).await,
            None => Ok(None),
        }
    }

    /// Takes a file, unless somebody else has it, or has done it meanwhile.
    ///
    /// # Errors
    /// When the store refuses what that needs.
    pub async fn claim(&mut self, input: &Input) -> Result<bool> {
        let Self::Directory(shared) = self else { return Ok(true) };
        if !shared.claims.take(&input.path).await? {
            return Ok(false);
        }
        let is_done = shared.book.done(input).await?.is_some();
        if is_done {
            shared.claims.release(&input.path, true).await?;
        }
        Ok(!is_done)
    }

    /// Writes down that a file is done, and gives it back.
    ///
    /// # Errors
    /// When that can't be written.
    pub async fn finish(&self, done: &Done) -> Result<()> {
        let Some(shared) = self.shared() else { return Ok(()) };
        shared.book.write(done).await?;
        shared.claims.release(&done.input.path, true).await
    }

    /// Gives a file back that is not done.
    ///
    /// # Errors
    /// When the store refuses what that needs.
    pub async fn give_up(&self, relative: &str) -> Result<()> {
        match self.shared() {
            Some(shared) => shared.claims.release(relative, false).await,
            None => Ok(()),
        }
    }

    /// Writes down what the whole job came to.
    ///
    /// # Errors
    /// When that can't be written.
    pub async fn close(&self, job: &Job, files: &[Done]) -> Result<()> {
        match self.shared() {
            Some(shared) => shared.book.close(job, files).await,
            None => Ok(()),
        }
    }

    fn shared(&self) -> Option<&Shared> {
        match self {
            Self::Directory(shared) => Some(shared),
            Self::File(_) => None,
        }
    }
}
