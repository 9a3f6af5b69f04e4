//! The command line.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{count::Pattern, rows::Row};

/// Where logs lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum On {
    /// A file of the file system at `--dir`.
    File,
    /// A loop device over such a file; wants root.
    Loop,
}

/// What to measure.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where to make files; some hundred megabytes
    #[arg(long, value_name = "PATH", default_value = ".")]
    pub dir: PathBuf,
    /// On what
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [On::File, On::Loop])]
    pub on: Vec<On>,
    /// Which rows; all by default
    #[arg(long, value_enum, value_delimiter = ',')]
    pub rows: Vec<Row>,
    /// Interleaved rounds
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// How long a sample takes, in seconds
    #[arg(long, value_name = "S", default_value_t = 0.5)]
    pub seconds: f64,
    /// Print the table as Markdown
    #[arg(long)]
    pub markdown: bool,
    /// Only append so many units over `mem:` and end: what callgrind counts
    #[arg(long, hide = true)]
    pub count: Option<u64>,
    /// How they are pushed
    #[arg(long, hide = true, value_enum, default_value_t = Pattern::Tasks)]
    pub pattern: Pattern,
}
