//! A reference to a Buf could be cloned: it stays on its thread too.

use hemi_queue::Buf;

fn main() {
    let buf = Buf::from("local");
    std::thread::scope(|scope| {
        scope.spawn(|| drop(buf.len()));
    });
}
