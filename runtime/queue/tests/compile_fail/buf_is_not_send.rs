//! Counts are not atomic: a Buf stays on its thread. SendBuf crosses.

use hemi_queue::Buf;

fn main() {
    let buf = Buf::from("local");
    std::thread::spawn(move || drop(buf));
}
