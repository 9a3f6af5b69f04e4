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
        let config = ParkConfig { backend: Some(Backend::Epoll), ..ParkConfig::default() };
        Self::on(&Park::new(&config).unwrap(), name, len)
    }

    fn on(park: &Rc<Park>, name: &str, len: u64) -> Self {
        let path = std::env::temp_dir().join(format!("hemi-file-{name}-{}.log", std::process::id()));
        let options = FileOptions { len: (len, u64::MAX), ..FileOptions::default() };
        let device =
            FileDevice::open(&path, Access::Overwrite, &options, &Pool::new().unwrap(), park).unwrap();
        Self { device, path }
    }
}

impl Scratch {
    /// The outcome of one command.
    fn run(&mut self, command: Command) -> io::Result<Sga> {
        self.device.submit(CommandId(7), command);
        let mut done = Vec::new();
        while self.device.poll(Instant::ZERO, &mut done) == Progress::Idle {
            if self.device.park.poll() == Progress::Idle {
                self.device.park.park(Some(std::time::Duration::from_secs(1)), || true);
            }
        }
        done.remove(0).result
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

#[test]
fn registered_memory_is_written_as_any_other_is() {
    let Ok(park) = Park::new(&ParkConfig { backend: Some(Backend::Uring), ..ParkConfig::default() }) else {
        hemi_skip::skip!("no io_uring here");
    };
    let class = hemi_queue::buf::ClassConfig { size: 64 << 10 };
    let config = hemi_queue::PoolConfig { classes: vec![class], limit: 8 << 20, region: 2 << 20 };
    let pool = Pool::with(&config).unwrap();
    let mut scratch = Scratch::on(&park, "registered", 1 << 20);
    scratch.device.register(&pool);
    let piece = |byte: u8| {
        let mut piece = pool.try_alloc(8192).unwrap();
        piece.set_len(8192);
        piece.fill(byte);
        piece.freeze()
    };
    let mut expected = Vec::new();
    // One piece; several of one region, in no order; one with foreign memory beside it.
    let (a, b, c) = (piece(1), piece(2), piece(3));
    let mixed = Sga::from_iter([a.clone(), hemi_queue::Buf::from(vec![4; 4096])]);
    for data in [a.clone().into(), Sga::from_iter([c, a.slice(4096..), b]), mixed] {
        let offset = expected.len() as u64;
        expected.extend(data.to_vec());
        scratch.run(Command::Write { offset, data, fua: false }).unwrap();
    }
    scratch.run(Command::Flush).unwrap();
    let read = scratch.run(Command::Read { offset: 0, len: expected.len() }).unwrap();
    assert!(read.to_vec() == expected);
    assert!(std::fs::read(&scratch.path).unwrap()[..expected.len()] == expected);
    // A registered file is let go of at once, with its lock.
    let path = scratch.path.clone();
    drop(scratch);
    let options = FileOptions { len: (8192, u64::MAX), ..FileOptions::default() };
    let again = FileDevice::open(&path, Access::Overwrite, &options, &pool, &park);
    std::fs::remove_file(&path).unwrap();
    again.unwrap();
}

#[test]
fn what_a_dropped_device_has_queued_does_not_reach_the_next_ones_file() {
    let Ok(park) = Park::new(&ParkConfig { backend: Some(Backend::Uring), ..ParkConfig::default() }) else {
        hemi_skip::skip!("no io_uring here");
    };
    let mut first = Scratch::on(&park, "dropped-first", 8192);
    first.run(Command::Write { offset: 0, data: vec![1; 8192].into(), fua: false }).unwrap();
    let path = first.path.clone();
    // Queued, and not told to the kernel before the end of the turn.
    let write = Command::Write { offset: 0, data: vec![2; 8192].into(), fua: false };
    first.device.submit(CommandId(8), write);
    let kept = path.with_extension("kept");
    std::fs::rename(&path, &kept).unwrap();
    drop(first);
    let mut next = Scratch::on(&park, "dropped-next", 8192);
    next.run(Command::Write { offset: 4096, data: vec![3; 4096].into(), fua: false }).unwrap();
    let read = next.run(Command::Read { offset: 0, len: 8192 }).unwrap().to_vec();
    let begun = std::fs::read(&kept).unwrap();
    std::fs::remove_file(&kept).unwrap();
    assert!(read[..4096].iter().all(|byte| *byte == 0), "written by the one before");
    assert!(read[4096..].iter().all(|byte| *byte == 3));
    assert!(begun[..8192].iter().all(|byte| *byte == 2), "what was begun goes where it was meant to");
}
