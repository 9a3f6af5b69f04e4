//! Transports by URI, and the names they are used under.

pub mod mem;

use std::rc::Rc;

use hemi_queue::{Result, UriError};

use crate::context::Core;

/// The open transports of one runtime.
#[derive(Debug, Default)]
pub(crate) struct Transports {}

/// Open the transports that the builder was given, as (name, URI); an empty name means the URI's own.
pub(crate) fn open(_core: &Rc<Core>, uris: &[(String, String)]) -> Result<()> {
    match uris.first() {
        Some((_, uri)) => Err(UriError::new(uri.as_str(), "this build knows no transports").into()),
        None => Ok(()),
    }
}
