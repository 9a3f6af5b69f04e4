//! Nor can it be read by who has given it back for writing.

use hemi_queue::Buf;

fn main() {
    let buf = Buf::from("x");
    let own = buf.try_mut();
    drop(buf.len());
    drop(own);
}
