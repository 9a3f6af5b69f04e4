//! The server functions of hemi's examples.
