//! Several mistakes, told at once.

use proc_macro2::Span;
use syn::{Error, Result};

/// Collects errors; the compiler shows all of them.
#[derive(Default)]
pub(crate) struct Errors(Option<Error>);

impl Errors {
    /// Adds one in words.
    pub(crate) fn say(&mut self, at: Span, text: impl std::fmt::Display) {
        self.push(Error::new(at, text));
    }

    pub(crate) fn push(&mut self, error: Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            none => *none = Some(error),
        }
    }

    /// `value`, when there was no error.
    pub(crate) fn or<T>(self, value: T) -> Result<T> {
        self.0.map_or(Ok(value), Err)
    }
}
