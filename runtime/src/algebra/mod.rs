//! The queue algebra: merge, filter, sort, map, qconnect.
