//! An RDMA device, wrapped: what is opened is closed, in the right order, and what comes from it is parsed.
//!
//! | what | where |
//! |---|---|
//! | [`Device`] | the context, its protection domain, its port, its asynchronous events |
//! | [`Registry`](memory::Registry) | memory regions: which buffers the device can carry |
//! | [`Cq`](cq::Cq) | the completion queue and its channel |
//! | [`Srq`](srq::Srq) | the shared receive queue and the buffers in it |
//! | [`Qp`](qp::Qp), [`Batch`](batch::Batch) | a queue pair; work requests posted together |
//!
//! Everything holds the `Rc` of what it was made of, so that a context outlives its domain, a domain its queues.

pub(crate) mod batch;
pub(crate) mod cq;
pub(crate) mod gid;
pub(crate) mod memory;
pub(crate) mod qp;
pub(crate) mod srq;

use std::{ffi::c_int, fmt, io, mem, net::IpAddr, os::fd::RawFd, ptr::NonNull, rc::Rc};

use crate::{
    error::{VerbsError, list},
    sys::{
        IBV_EVENT_CQ_ERR, IBV_EVENT_DEVICE_FATAL, IBV_EVENT_PORT_ACTIVE, IBV_EVENT_PORT_ERR,
        IBV_EVENT_SRQ_ERR, IBV_PORT_ACTIVE, Rdma, ibv_async_event, ibv_context, ibv_device, ibv_device_attr,
        ibv_pd, ibv_port_attr, text_of,
    },
};

/// An open device of our own: a context with a protection domain.
pub(crate) struct Device {
    pub(crate) rdma: &'static Rdma,
    context: NonNull<ibv_context>,
    pd: NonNull<ibv_pd>,
    pub(crate) name: String,
    pub(crate) attr: ibv_device_attr,
    /// The port in use.
    pub(crate) port: u8,
}

/// Something that happened to the device as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The link of our port is gone for now: connections retry until their patience ends.
    PortDown,
    /// It is back.
    PortUp,
    /// The device, our completion queue, or our shared receive queue is lost.
    Fatal(String),
    /// A queue's own trouble, which its completions tell too, or news that change nothing.
    Other(String),
}

impl Device {
    /// Open the device called `wanted` (empty: the first that has a GID for each of `ips`).
    pub(crate) fn open(wanted: &str, ips: &[IpAddr]) -> Result<Rc<Self>, VerbsError> {
        let rdma = Rdma::get()?;
        let devices = List::get(rdma)?;
        let mut unfit = None;
        for (name, raw) in devices.iter().filter(|(name, _)| wanted.is_empty() || name == wanted) {
            let mut device = Self::open_listed(rdma, name, raw)?;
            match gid::port_of(&device, ips) {
                Ok(port) => {
                    device.port = port;
                    return Ok(Rc::new(device));
                }
                Err(why) => unfit = Some(why),
            }
        }
        Err(unfit.unwrap_or_else(|| {
            let wanted = if wanted.is_empty() { "(any)" } else { wanted }.to_owned();
            VerbsError::NoDevice { wanted, have: list(devices.iter().map(|(name, _)| name)) }
        }))
    }

    fn open_listed(rdma: &'static Rdma, name: String, raw: *mut ibv_device) -> Result<Self, VerbsError> {
        // SAFETY: a device of a list that is alive.
        let context = unsafe { (rdma.verbs.open_device)(raw) };
        let cure = "its /dev/infiniband/uverbs* must be there and permitted";
        let context =
            NonNull::new(context).ok_or_else(|| VerbsError::last("ibv_open_device", &name, cure))?;
        // SAFETY: an open context.
        let pd = unsafe { (rdma.verbs.alloc_pd)(context.as_ptr()) };
        let Some(pd) = NonNull::new(pd) else {
            let error = VerbsError::last("ibv_alloc_pd", &name, "");
            // SAFETY: opened above, used by nothing.
            unsafe { (rdma.verbs.close_device)(context.as_ptr()) };
            return Err(error);
        };
        // SAFETY: numbers, all valid as zeroes.
        let attr = unsafe { mem::zeroed() };
        let mut device = Self { rdma, context, pd, name, attr, port: 1 };
        // SAFETY: an open context and room for the answer.
        let errno = unsafe { (rdma.verbs.query_device)(device.context(), &raw mut device.attr) };
        if errno != 0 {
            return Err(VerbsError::returned("ibv_query_device", &device.name, errno));
        }
        set_nonblocking(device.async_fd()).map_err(|source| device.failed("fcntl", source))?;
        Ok(device)
    }

    /// A call that failed with an `io::Error`.
    pub(crate) fn failed(&self, verb: &'static str, source: io::Error) -> VerbsError {
        VerbsError::Verb { verb, device: self.name.clone(), cure: "", source }
    }

    /// Whether this is Linux' emulation (`rdma_rxe`), which has no vendor.
    pub(crate) fn is_soft_roce(&self) -> bool {
        const NOBODY: u32 = 0xff_ffff;
        self.attr.vendor_id == NOBODY
    }

    pub(crate) fn context(&self) -> *mut ibv_context {
        self.context.as_ptr()
    }

    pub(crate) fn pd(&self) -> *mut ibv_pd {
        self.pd.as_ptr()
    }

    /// What a port is doing now.
    pub(crate) fn port_attr(&self, port: u8) -> Result<ibv_port_attr, VerbsError> {
        // SAFETY: numbers, all valid as zeroes; an old library fills the front only.
        let mut attr: ibv_port_attr = unsafe { mem::zeroed() };
        // SAFETY: an open context and room for the answer.
        match unsafe { (self.rdma.verbs.query_port)(self.context(), port, &raw mut attr) } {
            0 => Ok(attr),
            errno => Err(VerbsError::returned("ibv_query_port", &self.name, errno)),
        }
    }

    /// Whether the port's link is up.
    pub(crate) fn is_up(&self) -> bool {
        self.port_attr(self.port).is_ok_and(|port| port.state == IBV_PORT_ACTIVE)
    }

    /// Bytes that a packet can carry.
    pub(crate) fn packet(&self) -> u32 {
        self.port_attr(self.port).map_or(256, |port| 128 << port.active_mtu.clamp(1, 5))
    }

    /// Readable when there is an asynchronous event; it does not block.
    pub(crate) fn async_fd(&self) -> RawFd {
        // SAFETY: an open context.
        unsafe { self.context.as_ref() }.async_fd
    }

    /// The next asynchronous event of the device.
    pub(crate) fn next_event(&self) -> Option<Event> {
        // SAFETY: plain numbers and pointers, all valid as zeroes; written by the call below.
        let mut event: ibv_async_event = unsafe { mem::zeroed() };
        // SAFETY: an open context whose descriptor does not block, and room for an event.
        if unsafe { (self.rdma.verbs.get_async_event)(self.context(), &raw mut event) } != 0 {
            return None;
        }
        let kind = event.event_type;
        // SAFETY: the name of an event, static.
        let name = text_of(unsafe { (self.rdma.verbs.event_type_str)(kind) });
        let ours = matches!(kind, IBV_EVENT_PORT_ACTIVE | IBV_EVENT_PORT_ERR)
            // SAFETY: for these events the union holds a port number.
            && unsafe { event.element.port_num } == c_int::from(self.port);
        // SAFETY: an event that was got, acknowledged once.
        unsafe { (self.rdma.verbs.ack_async_event)(&raw mut event) };
        Some(match kind {
            IBV_EVENT_PORT_ERR if ours => Event::PortDown,
            IBV_EVENT_PORT_ACTIVE if ours => Event::PortUp,
            IBV_EVENT_DEVICE_FATAL | IBV_EVENT_CQ_ERR | IBV_EVENT_SRQ_ERR => Event::Fatal(name),
            _ => Event::Other(name),
        })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: everything made of them holds an `Rc` of this, so it is gone.
        unsafe {
            (self.rdma.verbs.dealloc_pd)(self.pd());
            (self.rdma.verbs.close_device)(self.context());
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {}", self.name, self.port)
    }
}

/// The devices of this machine; the list is freed when it is dropped.
struct List {
    rdma: &'static Rdma,
    raw: *mut *mut ibv_device,
    len: usize,
}

impl List {
    fn get(rdma: &'static Rdma) -> Result<Self, VerbsError> {
        let mut len = 0;
        // SAFETY: room for the count.
        let raw = unsafe { (rdma.verbs.get_device_list)(&raw mut len) };
        if raw.is_null() {
            let source = io::Error::last_os_error();
            if source.raw_os_error() == Some(libc::ENOSYS) {
                // No RDMA subsystem in this kernel: as if there were no device.
                return Ok(Self { rdma, raw, len: 0 });
            }
            let cure = "the kernel module ib_uverbs must be loaded";
            return Err(VerbsError::Verb {
                verb: "ibv_get_device_list",
                device: "this machine".into(),
                cure,
                source,
            });
        }
        Ok(Self { rdma, raw, len: usize::try_from(len).unwrap_or(0) })
    }

    fn iter(&self) -> impl Iterator<Item = (String, *mut ibv_device)> {
        (0..self.len).map(|at| {
            // SAFETY: the list has `len` devices.
            let device = unsafe { *self.raw.add(at) };
            // SAFETY: a device of the list; its name is text.
            (text_of(unsafe { (self.rdma.verbs.get_device_name)(device) }), device)
        })
    }
}

impl Drop for List {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            // SAFETY: got by `get`; devices that were opened stay open.
            unsafe { (self.rdma.verbs.free_device_list)(self.raw) };
        }
    }
}

/// Reads and the events behind them must not block the core.
pub(crate) fn set_nonblocking(fd: RawFd) -> io::Result<()> {
    // SAFETY: flags of a descriptor; a bad one is an error.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    // SAFETY: as above.
    if flags < 0 || unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
