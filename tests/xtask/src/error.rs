//! What stops the test command itself, as opposed to a suite that fails.

use std::io;

/// The test command cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot start `{program}`: {source}; is it installed and on the PATH?")]
    Start { program: String, source: io::Error },
    #[error("`{command}` failed: {stderr}")]
    Failed { command: String, stderr: String },
    #[error("`cargo metadata` answered with something else than its documented JSON: {0}")]
    Metadata(#[from] serde_json::Error),
    #[error("`cargo metadata` answered without `{0}`")]
    MetadataField(&'static str),
    #[error("cannot watch for Ctrl-C: {0}")]
    Signal(#[from] ctrlc::Error),
    #[error("{what}: {source}")]
    Io { what: &'static str, source: io::Error },
}

pub(crate) type Result<T> = std::result::Result<T, Error>;
