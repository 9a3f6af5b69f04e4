//! The storage log of hemi: sans-IO format and recovery.
