//! The `echo` example as a program, and other people's programs as its clients.
#![forbid(unsafe_code)]

mod peers_wire {
    mod bulk;
    mod netcat;
    mod server;
    mod signals;
    mod socat;
}
