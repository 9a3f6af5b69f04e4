//! The examples as programs, and other people's programs as their clients.
#![forbid(unsafe_code)]

mod peers_wire {
    mod bulk;
    mod netcat;
    mod program;
    mod programs;
    mod server;
    mod signals;
    mod socat;
}
