//! Counts cannot be forged from outside.

use hemi_queue::Buf;

fn main() {
    let buf = Buf::from("x");
    let _ = buf.into_raw();
}
