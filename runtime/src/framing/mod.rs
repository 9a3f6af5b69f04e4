//! Application units over a byte stream.
