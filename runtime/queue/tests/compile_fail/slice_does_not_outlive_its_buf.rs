//! A borrowed slice cannot outlive the count that keeps its memory.

use hemi_queue::Buf;

fn main() {
    let slice: &[u8];
    {
        let buf = Buf::from("short");
        slice = &buf[..];
    }
    println!("{}", slice.len());
}
