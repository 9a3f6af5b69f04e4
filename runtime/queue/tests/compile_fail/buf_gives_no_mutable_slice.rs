//! Nor is there a mutable slice to be had.

use hemi_queue::Buf;

fn main() {
    let mut buf = Buf::from("shared");
    let _: &mut [u8] = &mut buf;
}
