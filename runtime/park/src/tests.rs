//! Every test runs on both backends where it makes sense.

use std::{
    cell::RefCell,
    io::Write,
    os::{fd::AsRawFd, unix::net::UnixStream},
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use hemi_queue::Progress;
use io_uring::opcode;

use crate::{Backend, Handler, Park, ParkConfig};

/// A sleep that nobody ends.
const LONG: Option<Duration> = Some(Duration::from_secs(600));
/// A sleep that took less was ended.
const HANG: Duration = Duration::from_secs(300);

fn parks() -> Vec<Rc<Park>> {
    let mut parks = Vec::new();
    for backend in [Backend::Uring, Backend::Epoll] {
        match Park::new(&ParkConfig { backend: Some(backend), ..ParkConfig::default() }) {
            Ok(park) => {
                assert_eq!(park.backend(), backend);
                parks.push(park);
            }
            Err(e) if backend == Backend::Uring => eprintln!("SKIPPED on io_uring: {e}"),
            Err(e) => panic!("{e}"),
        }
    }
    parks
}

#[test]
fn falls_back_by_itself() {
    Park::new(&ParkConfig::default()).unwrap();
}

#[test]
fn a_wake_from_another_thread_ends_the_sleep() {
    for park in parks() {
        let start = Instant::now();
        let unparker = park.unparker();
        let waker = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            unparker.unpark();
        });
        park.park(LONG, || true);
        assert!(start.elapsed() < HANG);
        waker.join().unwrap();
        while park.poll() == Progress::Busy {}
    }
}

#[test]
fn a_wake_before_the_sleep_is_remembered_once() {
    for park in parks() {
        park.unparker().unpark();
        park.unparker().unpark();
        park.park(LONG, || panic!("must not get as far as asking"));
        let mut asked = false;
        park.park(Some(Duration::from_millis(1)), || {
            asked = true;
            true
        });
        assert!(asked, "the second wake was not counted again");
    }
}

#[test]
fn work_found_at_the_last_moment_keeps_it_awake() {
    for park in parks() {
        let start = Instant::now();
        park.park(LONG, || false);
        assert!(start.elapsed() < HANG);
    }
}

#[test]
fn many_wakes_while_sleeping_and_not() {
    for park in parks() {
        let unparker = park.unparker();
        let waker = thread::spawn(move || {
            for _ in 0..20_000 {
                unparker.unpark();
            }
        });
        while !waker.is_finished() {
            park.park(Some(Duration::from_millis(5)), || true);
            park.poll();
        }
        waker.join().unwrap();
    }
}

#[test]
fn an_unparker_outlives_the_park() {
    for park in parks() {
        let unparker = park.unparker();
        drop(park);
        unparker.unpark();
        unparker.clone().unpark();
    }
}

#[test]
fn a_watched_descriptor_ends_every_sleep_until_it_is_unwatched() {
    for park in parks() {
        let (mut near, far) = UnixStream::pair().unwrap();
        park.watch(far.as_raw_fd()).unwrap();
        park.watch(far.as_raw_fd()).unwrap(); // again: no harm
        let writer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            near.write_all(b"x").unwrap();
            near
        });
        let start = Instant::now();
        park.park(LONG, || true);
        while park.poll() == Progress::Busy {}
        park.park(LONG, || true); // still readable: the level counts
        assert!(start.elapsed() < HANG);
        let _near = writer.join().unwrap();
        while park.poll() == Progress::Busy {}
        park.unwatch(far.as_raw_fd());
        while park.poll() == Progress::Busy {}
    }
}

#[test]
fn unwatching_an_armed_descriptor_lets_go_of_it() {
    for park in parks() {
        let (near, far) = UnixStream::pair().unwrap();
        park.watch(far.as_raw_fd()).unwrap();
        park.park(Some(Duration::from_millis(1)), || true);
        park.unwatch(far.as_raw_fd());
        while park.poll() == Progress::Busy {}
        drop(far);
        // The peer sees the end at once: no poll holds the file open.
        let mut byte = [0];
        near.set_read_timeout(Some(HANG)).unwrap();
        // The end of the io_uring before this park may interrupt a call that has a timeout.
        let mut read = || {
            std::io::Read::read(&mut &near, &mut byte).or_else(|e| match e.kind() {
                std::io::ErrorKind::Interrupted => Ok(usize::MAX),
                _ => Err(e),
            })
        };
        let len = std::iter::repeat_with(|| read().unwrap()).find(|len| *len != usize::MAX);
        assert_eq!(len, Some(0));
    }
}

#[derive(Default)]
struct Log(RefCell<Vec<(u64, i32)>>);

impl Handler for Log {
    fn complete(&self, key: u64, result: i32, _flags: u32) {
        self.0.borrow_mut().push((key, result));
    }
}

fn uring() -> Option<Rc<Park>> {
    parks().into_iter().find(|p| p.backend() == Backend::Uring)
}

#[test]
fn completions_reach_their_handlers() {
    let Some(park) = uring() else { return };
    let (a, b) = (Rc::new(Log::default()), Rc::new(Log::default()));
    let (ia, ib) = (park.attach(a.clone()).unwrap(), park.attach(b.clone()).unwrap());
    let ring = park.ring().unwrap();
    for key in 0..2000 {
        let id = if key % 2 == 0 { ia } else { ib };
        // SAFETY: a nop names no memory.
        unsafe { ring.push(id, key, opcode::Nop::new().build()) };
    }
    assert_eq!(park.in_flight(ia), 1000);
    let mut turns = 0;
    while park.in_flight(ia) + park.in_flight(ib) > 0 {
        park.poll();
        turns += 1;
        assert!(turns < 1000);
    }
    assert!(turns > 1, "a burst is bounded");
    assert_eq!(a.0.borrow().len(), 1000);
    assert!(a.0.borrow().iter().all(|(k, r)| k % 2 == 0 && *r == 0));
    assert!(b.0.borrow().iter().all(|(k, r)| k % 2 == 1 && *r == 0));
    assert_eq!(park.poll(), Progress::Idle);
}

#[test]
fn a_detached_handler_lives_until_its_last_completion() {
    let Some(park) = uring() else { return };
    let (_near, far) = UnixStream::pair().unwrap();
    let log = Rc::new(Log::default());
    let weak = Rc::downgrade(&log);
    let id = park.attach(log).unwrap();
    let ring = park.ring().unwrap();
    let poll = opcode::PollAdd::new(io_uring::types::Fd(far.as_raw_fd()), libc::POLLIN as u32).build();
    // SAFETY: a poll names no memory.
    unsafe { ring.push(id, 7, poll) };
    while park.poll() == Progress::Busy {}
    park.detach(id);
    park.poll();
    assert!(weak.upgrade().is_some(), "its poll is still in flight");
    drop(park); // cancels and waits
    assert!(weak.upgrade().is_none());
}
