//! Peers that are no hemi programs, or of another version, or that do not answer.
