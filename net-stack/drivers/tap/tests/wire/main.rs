//! `tap:` with the Linux kernel on the other side, in a network namespace of the test's own.

mod netns;
