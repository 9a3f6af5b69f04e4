//! [`Library`]: the shared object, and a script played against it.

use std::{
    collections::BTreeMap,
    ffi::{CString, c_void},
    mem::MaybeUninit,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    calls, packets,
    parse::{Event, Line, parse},
};

#[allow(unreachable_pub)] // public where it is exported from
#[path = "../../src/interface.rs"]
mod interface;

pub(crate) use interface::Interface;

type Init = unsafe extern "C" fn(*const std::ffi::c_char, *mut Interface);

/// The shared object, loaded.
pub(crate) struct Library(Init);

/// A table that two threads call, as packetdrill's do.
#[derive(Clone)]
pub(crate) struct Table(Arc<Shared>);

struct Shared {
    interface: Interface,
    /// The library's number for each of the script's.
    numbers: Mutex<BTreeMap<i32, i32>>,
}

// SAFETY: the library promises that its functions may be called by any thread; `userdata` is only handed back to them.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl std::ops::Deref for Table {
    type Target = Interface;
    fn deref(&self) -> &Interface {
        &self.0.interface
    }
}

impl Table {
    fn numbers(&self) -> MutexGuard<'_, BTreeMap<i32, i32>> {
        self.0.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The library's number of a descriptor of the script's.
    pub(crate) fn live(&self, fd: i32) -> i32 {
        self.numbers().get(&fd).copied().unwrap_or(fd)
    }

    /// The library opened `live`, which the script calls `fd`: what the script is to see.
    pub(crate) fn opened(&self, fd: i32, live: i32) -> i32 {
        if live < 0 || fd < 0 {
            return live;
        }
        self.numbers().insert(fd, live);
        fd
    }

    /// The time of day, in microseconds.
    pub(crate) fn now(&self) -> i64 {
        let mut tv = MaybeUninit::<libc::timeval>::uninit();
        // SAFETY: the table is initialised, and `tv` is writable; the call fills it.
        unsafe {
            (self.gettimeofday)(self.userdata, tv.as_mut_ptr(), std::ptr::null_mut());
            let tv = tv.assume_init();
            tv.tv_sec * 1_000_000 + tv.tv_usec
        }
    }
}

/// A call on a thread of its own.
struct Blocked {
    line: usize,
    until: i64,
    thread: thread::JoinHandle<(Result<(), String>, i64)>,
}

/// How far from its time something may happen: packetdrill's default.
const TOLERANCE: i64 = 4_000;

impl Library {
    /// The shared object that Cargo built with this test: beside its program.
    pub(crate) fn open() -> Self {
        let folder: PathBuf = std::env::current_exe().expect("a path").parent().expect("a folder").into();
        let candidates = [folder.join("libhemi_packetdrill.so"), folder.join("../libhemi_packetdrill.so")];
        let built = |p: &&PathBuf| p.metadata().and_then(|m| m.modified()).ok();
        let path = candidates.iter().filter(|p| p.exists()).max_by_key(built);
        let path = path.unwrap_or_else(|| panic!("{candidates:?}: not built"));
        let path = CString::new(path.to_str().expect("UTF-8")).expect("no zero in it");
        // SAFETY: C strings; the symbol has the type that this crate exports it with.
        let init = unsafe {
            let library =
                libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL | libc::RTLD_NODELETE);
            assert!(!library.is_null(), "{:?}", std::ffi::CStr::from_ptr(libc::dlerror()));
            let symbol = libc::dlsym(library, c"packetdrill_interface_init".as_ptr());
            assert!(!symbol.is_null(), "the symbol is missing");
            std::mem::transmute::<*mut c_void, Init>(symbol)
        };
        Self(init)
    }

    /// Play a script; the error names the line.
    pub(crate) fn play(&self, script: &str, v6: bool) -> Result<(), String> {
        let lines = parse(script)?;
        let flags = script.lines().find_map(|l| l.strip_prefix("--so_flags=")).unwrap_or("");
        let flags = CString::new(flags).map_err(|e| e.to_string())?;
        let mut table = MaybeUninit::<Interface>::uninit();
        // SAFETY: a C string and a writable table, which the call fills.
        let table = unsafe {
            (self.0)(flags.as_ptr(), table.as_mut_ptr());
            Table(Arc::new(Shared { interface: table.assume_init(), numbers: Mutex::default() }))
        };
        let mut player = Player {
            start: table.now(),
            table: table.clone(),
            last: 0,
            peer: packets::Peer::new(v6),
            blocked: None,
        };
        let result = lines.into_iter().try_for_each(|line| {
            let number = line.number;
            player.step(line).map_err(|e| format!("line {number}: {e}"))
        });
        let result = result.and_then(|()| player.join());
        if player.blocked.is_none() {
            // SAFETY: the last call, and no other thread is in one: a blocked one was joined, or its script has failed (then it is left
            // to the end of the process, and so is the world).
            unsafe { (table.free)(table.userdata) };
        }
        result
    }
}

struct Player {
    table: Table,
    start: i64,
    last: i64,
    peer: packets::Peer,
    blocked: Option<Blocked>,
}

impl Player {
    fn step(&mut self, line: Line) -> Result<(), String> {
        let base = if line.relative { self.now() } else { 0 };
        let (from, to) = (base + line.from, base + line.to.unwrap_or(line.from));
        match line.event {
            Event::Sent(expected) => {
                let (at, packet) = self.sniff()?;
                self.peer.check(&expected, &packet)?;
                let tolerance = TOLERANCE.max((from - self.last) / 8);
                if at < from - tolerance || at > to + tolerance {
                    return Err(format!("expected from {from} to {to} µs, but it left at {at} µs"));
                }
                self.last = at;
            }
            Event::Arrives(packet) => {
                self.wait(from);
                let bytes = self.peer.build(&packet)?;
                // SAFETY: the bytes are valid for their length.
                let result = unsafe {
                    (self.table.netdev_send)(self.table.userdata, bytes.as_ptr().cast(), bytes.len())
                };
                if result != 0 {
                    return Err("netdev_send failed".into());
                }
                self.last = from;
            }
            Event::Call(call) => {
                self.wait(from);
                self.last = from;
                let peer = self.peer.addresses();
                match line.blocks {
                    None => calls::run(&self.table, &call, peer)?,
                    Some(until) => {
                        self.join()?;
                        let until = base + until;
                        let table = self.table.clone();
                        let tid = Arc::new(AtomicI32::new(0));
                        let theirs = tid.clone();
                        let thread = thread::spawn(move || {
                            // SAFETY: it takes no arguments and cannot fail.
                            theirs.store(unsafe { libc::gettid() }, Ordering::Release);
                            let result = calls::run(&table, &call, peer);
                            let end = table.now();
                            (result, end)
                        });
                        wait_until_asleep(&tid, &thread);
                        self.blocked = Some(Blocked { line: line.number, until, thread });
                    }
                }
            }
        }
        Ok(())
    }

    fn now(&self) -> i64 {
        self.table.now() - self.start
    }

    /// Let time pass until `at`.
    fn wait(&self, at: i64) {
        let left = at - self.now();
        if let Ok(left @ 1..) = u32::try_from(left) {
            // SAFETY: the table is initialised.
            unsafe { (self.table.usleep)(self.table.userdata, left) };
        }
    }

    fn sniff(&self) -> Result<(i64, Vec<u8>), String> {
        let mut bytes = vec![0; 65_536];
        let (mut len, mut at) = (bytes.len(), 0);
        // SAFETY: the buffer is valid for `len` bytes, and the other two are writable.
        let result = unsafe {
            (self.table.netdev_receive)(
                self.table.userdata,
                bytes.as_mut_ptr().cast(),
                &raw mut len,
                &raw mut at,
            )
        };
        if result != 0 || len == 0 {
            return Err("the stack has nothing to send".into());
        }
        bytes.truncate(len);
        Ok((at - self.start, bytes))
    }

    /// The call that blocks must end now, as it should.
    fn join(&mut self) -> Result<(), String> {
        let Some(Blocked { line, until, thread }) = self.blocked.take() else { return Ok(()) };
        self.wait(until + TOLERANCE);
        // Virtual time has come; real time is only for the thread to be scheduled.
        for _ in 0..60_000 {
            if thread.is_finished() {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        if !thread.is_finished() {
            self.blocked = Some(Blocked { line, until, thread });
            return Err(format!("line {line}: the call did not end at {until} µs"));
        }
        let (result, end) = thread.join().map_err(|_| "the call's thread panicked")?;
        let end = end - self.start;
        result.map_err(|e| format!("line {line}: {e}"))?;
        if (end - until).abs() > TOLERANCE {
            return Err(format!("line {line}: the call ended at {end} µs, not at {until} µs"));
        }
        Ok(())
    }
}

/// The call is under way and blocks (or has ended): only then may the script go on. As packetdrill does it.
fn wait_until_asleep<T>(tid: &AtomicI32, thread: &thread::JoinHandle<T>) {
    loop {
        let tid = tid.load(Ordering::Acquire);
        let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).unwrap_or_default();
        let asleep = stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('S'));
        if thread.is_finished() || (tid != 0 && asleep) {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}
