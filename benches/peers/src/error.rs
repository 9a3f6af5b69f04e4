//! What can go wrong while comparing.

use std::io;
use std::path::PathBuf;

use crate::plan::{Row, Runtime};

/// A comparison that could not be made; says of whom.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Lab(#[from] hemi_bench::Error),

    #[error("the {} server failed", runtime.title())]
    Server { runtime: Runtime, source: hemi_bench::contestants::Failure },

    #[error("{} on {} ended with {status}: {stderr}", row.title(), runtime.title())]
    Sample { row: Row, runtime: Runtime, status: std::process::ExitStatus, stderr: String },

    #[error("the {} server did not say where it listens", runtime.title())]
    NotReady { runtime: Runtime },

    #[error("the load generator against {} ended with {status}: {stderr}", runtime.title())]
    Load { runtime: Runtime, status: std::process::ExitStatus, stderr: String },

    #[error("{} has no row {:?}", runtime.title(), row.title())]
    NotOffered { row: Row, runtime: Runtime },

    #[error("{} does not serve TCP", runtime.title())]
    NoServer { runtime: Runtime },

    #[error("cannot run valgrind: install it (`apt-get install valgrind`) or leave out --callgrind")]
    NoValgrind(#[source] io::Error),

    #[error("{0}: no instruction total in callgrind's output")]
    NoTotal(PathBuf),

    #[error("a sample printed {0:?} where a number was due")]
    Output(String),

    #[error("{doing}")]
    Io { doing: &'static str, source: io::Error },

    #[error("cannot write or read JSON")]
    Json(#[from] serde_json::Error),
}

/// Names what was being done when the system said no.
pub trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, Error>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::Io { doing, source })
    }
}
