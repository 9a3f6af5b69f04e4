//! bpf(2): the calls that are needed of it. Attributes as in `union bpf_attr` (linux/bpf.h), as far as they are used.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use crate::asm::Instruction;

const BPF_MAP_CREATE: i32 = 0;
const BPF_MAP_LOOKUP_ELEM: i32 = 1;
const BPF_MAP_UPDATE_ELEM: i32 = 2;
const BPF_MAP_DELETE_ELEM: i32 = 3;
const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_GET_FD_BY_ID: i32 = 13;
const BPF_MAP_GET_FD_BY_ID: i32 = 14;
const BPF_OBJ_GET_INFO_BY_FD: i32 = 15;
const BPF_LINK_CREATE: i32 = 28;
const BPF_LINK_UPDATE: i32 = 29;

const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_MAP_TYPE_XSKMAP: u32 = 17;
const BPF_PROG_TYPE_XDP: u32 = 6;
/// `enum bpf_attach_type`
const BPF_XDP: u32 = 37;

/// A map of AF_XDP sockets by the number of their queue.
pub(crate) fn socket_map(entries: u32) -> io::Result<OwnedFd> {
    map(BPF_MAP_TYPE_XSKMAP, 4, entries)
}

/// A map of one 64-bit number, which begins at zero.
pub(crate) fn counter() -> io::Result<OwnedFd> {
    map(BPF_MAP_TYPE_ARRAY, 8, 1)
}

fn map(map_type: u32, value_size: u32, max_entries: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
    }
    let attributes = Attributes { map_type, key_size: 4, value_size, max_entries };
    // SAFETY: the attributes of this call name no memory.
    unsafe { bpf_fd(BPF_MAP_CREATE, &attributes) }
}

#[repr(C)]
struct Element {
    map: u32,
    _pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Put `socket` into the map at `key`.
pub(crate) fn set_socket(map: BorrowedFd<'_>, key: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
    let value = socket.as_raw_fd();
    let attributes = Element {
        map: map.as_raw_fd() as u32,
        _pad: 0,
        key: (&raw const key).expose_provenance() as u64,
        value: (&raw const value).expose_provenance() as u64,
        flags: 0,
    };
    // SAFETY: key and value are locals of four bytes each, as the map's are.
    unsafe { bpf(BPF_MAP_UPDATE_ELEM, &attributes) }.map(drop)
}

/// Take the socket at `key` out of the map.
pub(crate) fn remove_socket(map: BorrowedFd<'_>, key: u32) -> io::Result<()> {
    let key_at = (&raw const key).expose_provenance() as u64;
    let attributes = Element { map: map.as_raw_fd() as u32, _pad: 0, key: key_at, value: 0, flags: 0 };
    // SAFETY: the key is a local of four bytes, as the map's are.
    unsafe { bpf(BPF_MAP_DELETE_ELEM, &attributes) }.map(drop)
}

/// The number in a map that [`counter`] has made.
pub(crate) fn count(counter: BorrowedFd<'_>) -> io::Result<u64> {
    let (key, mut value) = (0_u32, 0_u64);
    let attributes = Element {
        map: counter.as_raw_fd() as u32,
        _pad: 0,
        key: (&raw const key).expose_provenance() as u64,
        value: (&raw mut value).expose_provenance() as u64,
        flags: 0,
    };
    // SAFETY: key and value are locals of four and eight bytes, as the map's are.
    unsafe { bpf(BPF_MAP_LOOKUP_ELEM, &attributes) }.map(|_| value)
}

/// The program with this number.
pub(crate) fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: a number, and no flags.
    unsafe { bpf_fd(BPF_PROG_GET_FD_BY_ID, &[id, 0, 0]) }
}

/// The map with this number.
pub(crate) fn map_by_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: a number, and no flags.
    unsafe { bpf_fd(BPF_MAP_GET_FD_BY_ID, &[id, 0, 0]) }
}

/// The numbers of a program's maps.
pub(crate) fn maps_of(program: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    /// The beginning of `struct bpf_prog_info`.
    #[derive(Default)]
    #[repr(C)]
    struct Program {
        kind: u32,
        id: u32,
        tag: u64,
        lengths: [u32; 2],
        instructions: [u64; 2],
        load_time: u64,
        created_by: u32,
        map_count: u32,
        maps: u64,
    }
    let mut maps = [0_u32; 64];
    let mut info = Program {
        map_count: maps.len() as u32,
        maps: maps.as_mut_ptr().expose_provenance() as u64,
        ..Program::default()
    };
    // SAFETY: integers only; the list has as many places as is said.
    unsafe { info_of(program, &mut info)? };
    Ok(maps[..(info.map_count as usize).min(maps.len())].to_vec())
}

/// Whether a map is one of AF_XDP sockets.
pub(crate) fn is_socket_map(map: BorrowedFd<'_>) -> io::Result<bool> {
    let mut kind = [0_u32; 2]; // the beginning of `struct bpf_map_info`
    // SAFETY: integers only.
    unsafe { info_of(map, &mut kind)? };
    Ok(kind[0] == BPF_MAP_TYPE_XSKMAP)
}

/// # Safety
/// `info` is the beginning of the structure that the kernel has for the object, and memory that it names is as is said there.
unsafe fn info_of<T>(object: BorrowedFd<'_>, info: &mut T) -> io::Result<()> {
    #[repr(C)]
    struct Attributes {
        object: u32,
        len: u32,
        info: u64,
    }
    let attributes = Attributes {
        object: object.as_raw_fd() as u32,
        len: size_of::<T>() as u32,
        info: std::ptr::from_mut(info).expose_provenance() as u64,
    };
    // SAFETY: the kernel writes no more than `len`; the rest is the caller's promise.
    unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes) }.map(drop)
}

/// Load an XDP program. What the verifier said is in the error's text.
pub(crate) fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; 16],
        prog_ifindex: u32,
        expected_attach_type: u32,
    }
    let mut attributes = Attributes {
        prog_type: BPF_PROG_TYPE_XDP,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr().expose_provenance() as u64,
        license: c"MIT OR Apache-2.0".as_ptr().expose_provenance() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name: *b"hemi_station\0\0\0\0",
        prog_ifindex: 0,
        expected_attach_type: BPF_XDP,
    };
    // SAFETY: the instructions and the text are borrowed for the call, of the lengths given.
    match unsafe { bpf_fd(BPF_PROG_LOAD, &attributes) } {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) || e.raw_os_error() == Some(libc::EACCES) => {
            let mut log = vec![0_u8; 1 << 16];
            attributes.log_level = 1;
            attributes.log_size = log.len() as u32;
            attributes.log_buf = log.as_mut_ptr().expose_provenance() as u64;
            // SAFETY: as above, and the kernel writes no more of the log than fits.
            let again = unsafe { bpf_fd(BPF_PROG_LOAD, &attributes) };
            let said =
                String::from_utf8_lossy(log.split(|&b| b == 0).next().unwrap_or_default()).into_owned();
            if said.is_empty() { again } else { again.map_err(|e| io::Error::new(e.kind(), said)) }
        }
        loaded => loaded,
    }
}

/// Attach `program` to the interface in a mode of `XDP_FLAGS_*`, until the answer is closed.
pub(crate) fn link(program: BorrowedFd<'_>, interface: u32, flags: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        prog_fd: u32,
        target_ifindex: u32,
        attach_type: u32,
        flags: u32,
    }
    let prog_fd = program.as_raw_fd() as u32;
    let attributes = Attributes { prog_fd, target_ifindex: interface, attach_type: BPF_XDP, flags };
    // SAFETY: the attributes of this call name no memory.
    unsafe { bpf_fd(BPF_LINK_CREATE, &attributes) }
}

/// Put `program` in the place of the one that is attached by `link`; every frame sees one of the two.
pub(crate) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C)]
    struct Attributes {
        link_fd: u32,
        new_prog_fd: u32,
        flags: u32,
        old_prog_fd: u32,
    }
    let (link_fd, new_prog_fd) = (link.as_raw_fd() as u32, program.as_raw_fd() as u32);
    let attributes = Attributes { link_fd, new_prog_fd, flags: 0, old_prog_fd: 0 };
    // SAFETY: the attributes of this call name no memory.
    unsafe { bpf(BPF_LINK_UPDATE, &attributes) }.map(drop)
}

/// # Safety
/// `attributes` are the call's, and memory that they name is what the call says it must be.
unsafe fn bpf<A>(command: i32, attributes: &A) -> io::Result<i32> {
    // SAFETY: the pointer and the size are those of the attributes; the rest is the caller's promise.
    let r = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<A>()) };
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(r as i32) }
}

/// # Safety
/// As for [`bpf`]; and the call answers with a new descriptor.
unsafe fn bpf_fd<A>(command: i32, attributes: &A) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promises.
    unsafe { bpf(command, attributes).map(|fd| OwnedFd::from_raw_fd(fd)) }
}
