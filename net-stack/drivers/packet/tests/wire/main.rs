//! `packet:` on one end of a veth pair, the Linux kernel on the other, in a network namespace of the test's own.

mod netns;
