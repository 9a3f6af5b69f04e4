//! Buffers, pools, units, queue descriptors, tokens, reactors and the Pop/Push traits of hemi.
