//! What the kernel or a caller does rarely.

use std::path::PathBuf;

use hemi_park::{Backend, ParkConfig};

use super::*;

/// A device on a new file of `len` bytes, which goes with it.
struct Scratch {
    device: FileDevice,
    path: PathBuf,
}

impl Scratch {
    fn new(name: &str, len: u64) -> Self {
        let path = std::env::temp_dir().join(format!("hemi-file-{name}-{}.log", std::process::id()));
        let config = ParkConfig { backend: Some(Backend::Epoll), ..ParkConfig::default() };
        let park = Park::new(&config).unwrap();
        let options = FileOptions { len: (len, u64::MAX), ..FileOptions::default() };
        let device =
            FileDevice::open(&path, Access::Overwrite, &options, &Pool::new().unwrap(), &park).unwrap();
        Self { device, path }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[test]
fn a_read_of_a_length_that_cannot_be_is_an_error() {
    let mut scratch = Scratch::new("read", 8192);
    for len in [usize::MAX, isize::MAX as usize, MAX_READ + 1] {
        scratch.device.submit(CommandId(7), Command::Read { offset: 0, len });
        let mut done = Vec::new();
        assert_eq!(scratch.device.poll(Instant::ZERO, &mut done), Progress::Busy);
        let error = done.remove(0).result.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{len}: {error}");
    }
}

#[test]
fn a_file_grows_also_where_no_space_can_be_promised() {
    let scratch = Scratch::new("grow", 8192);
    let shared = &scratch.device.shared;
    let answer = |len, result| {
        let op = Op::new(CommandId(7), Kind::Allocate { len }, 8192, Vec::new(), 0, Memory::Nothing);
        let key = shared.state.borrow_mut().ops.insert(op);
        assert!(!shared.complete(key, result));
        let done = shared.state.borrow_mut().done.remove(0);
        done.result.map(|_| (shared.state.borrow().len, std::fs::metadata(&scratch.path).unwrap().len()))
    };
    assert_eq!(answer(4096, -libc::EOPNOTSUPP).unwrap(), (12288, 12288));
    assert_eq!(answer(1024, -libc::EOPNOTSUPP).unwrap(), (12288, 12288), "it never shrinks");
    assert_eq!(answer(8192, -libc::ENOSPC).unwrap_err().raw_os_error(), Some(libc::ENOSPC));
}
