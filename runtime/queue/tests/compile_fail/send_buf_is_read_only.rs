//! A SendBuf is shared with the home thread: read-only.

use hemi_queue::Buf;

fn main() {
    let mut far = Buf::from("shared").into_send();
    far[0] = b'S';
}
