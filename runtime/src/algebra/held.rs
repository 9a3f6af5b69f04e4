//! [`Held`]: the queue inside of an adapter that has given a part of its work to the device below.

/// The inner queue, and what undoes the device's share when the adapter lets go of it.
pub(super) struct Held<Q> {
    /// Until the adapter is taken apart.
    queue: Option<Q>,
    release: fn(&mut Q),
}

impl<Q> Held<Q> {
    /// A queue whose device has nothing to do for us.
    pub(super) fn new(queue: Q) -> Self {
        Self { queue: Some(queue), release: |_| () }
    }

    /// `release` is for the end.
    pub(super) fn until(&mut self, release: fn(&mut Q)) {
        self.release = release;
    }

    #[inline]
    pub(super) fn get(&self) -> &Q {
        self.queue.as_ref().expect("an adapter that was taken apart is gone")
    }

    #[inline]
    pub(super) fn get_mut(&mut self) -> &mut Q {
        self.queue.as_mut().expect("an adapter that was taken apart is gone")
    }

    /// The queue, with nothing left in the device.
    pub(super) fn take(&mut self) -> Q {
        (self.release)(self.get_mut());
        self.queue.take().expect("it is there until now")
    }
}

impl<Q> Drop for Held<Q> {
    fn drop(&mut self) {
        if let Some(queue) = &mut self.queue {
            (self.release)(queue);
        }
    }
}
