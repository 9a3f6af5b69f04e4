//! Nobody writes through a Buf: the device may be reading it.

use hemi_queue::Buf;

fn main() {
    let mut buf = Buf::from("shared");
    buf[0] = b'S';
}
