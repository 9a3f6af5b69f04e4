//! The latency lab of hemi as a library, and its micro-benchmarks.
