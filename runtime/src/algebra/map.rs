//! [`map`]: every unit transformed.

use std::{
    fmt,
    marker::PhantomData,
    task::{Context, Poll},
};

use hemi_queue::{Pop, Push, PushError, Result, Ticket};

use super::{Offload, Rewrite, RunsIn, held::Held, rewrite::Rewritable};

/// What a map does to each unit: a closure, or a [`Rewrite`].
pub trait Transform<U> {
    /// What becomes of a unit.
    type Output;

    /// Transform one unit.
    fn transform(&mut self, unit: U) -> Self::Output;

    /// What becomes of a unit that a device has transformed already.
    fn transformed(&mut self, unit: U) -> Self::Output {
        self.transform(unit)
    }
}

impl<U, V, F: FnMut(U) -> V> Transform<U> for F {
    type Output = V;
    fn transform(&mut self, unit: U) -> V {
        self(unit)
    }
}

impl<U: Rewritable> Transform<U> for Rewrite {
    type Output = U;
    fn transform(&mut self, unit: U) -> U {
        self.apply(unit)
    }
    fn transformed(&mut self, unit: U) -> U {
        unit
    }
}

/// A queue that pops what `f` makes of each unit. Pushes pass as they are; see [`map_push`].
///
/// ```
/// # use futures::executor::block_on;
/// use hemi::{Pop, Push, algebra::map};
/// # block_on(async {
/// let mut lengths = map(hemi::queue(8), |word: &str| word.len());
/// lengths.push("queue").await?;
/// assert_eq!(lengths.pop().await?, Some(5));
/// # Ok::<(), hemi::Error>(()) }).unwrap();
/// ```
pub fn map<Q: Pop, V, F: FnMut(Q::Unit) -> V>(queue: Q, f: F) -> Map<Q, F> {
    Map { queue: Held::new(queue), f, pops: RunsIn::Software }
}

/// [`map`] with a [`Rewrite`], which a device that can run it takes over, until the map is dropped or taken apart; see
/// [`Map::offload`]. On `xdp:` it is part of the program in the kernel, which also updates the checksum.
///
/// The device marks what it has rewritten. What had arrived before, fragments, and what the device leaves alone for any other
/// reason, is rewritten here, so the outcome is the same wherever it runs. What waits in the queue, rewritten, when the map ends
/// stays so.
///
/// ```
/// # use futures::executor::block_on;
/// use hemi::{Buf, Pop, Push, algebra::{Rewrite, map_by}};
/// # block_on(async {
/// let mut q = map_by(hemi::queue(8), Rewrite::new().set(0, "HTTP/1.1").swap(9, 10, 1));
/// q.push(Buf::from("http/1.0 ab")).await?;
/// assert_eq!(q.pop().await?, Some(Buf::from("HTTP/1.1 ba")));
/// # Ok::<(), hemi::Error>(()) }).unwrap();
/// ```
pub fn map_by<Q: Pop<Unit: Rewritable>>(mut queue: Q, rewrite: Rewrite) -> Map<Q, Rewrite> {
    let pops = queue.install_rewrite(Some(rewrite.changes()));
    let mut queue = Held::new(queue);
    if pops != RunsIn::Software {
        queue.until(|queue| {
            queue.install_rewrite(None);
        });
    }
    Map { queue, f: rewrite, pops }
}

/// A queue to which what `f` makes of each pushed unit is pushed. Pops pass as they are.
///
/// `f` is given a reference, so that a refused push gives the unit back as it was.
///
/// ```
/// # use futures::executor::block_on;
/// use hemi::{Pop, Push, algebra::map_push};
/// # block_on(async {
/// let mut q = map_push(hemi::queue(8), |n: &u32| n.to_string());
/// q.push(7u32).await?;
/// assert_eq!(q.pop().await?, Some("7".to_owned()));
/// # Ok::<(), hemi::Error>(()) }).unwrap();
/// ```
pub fn map_push<Q: Push, W, F: FnMut(&W) -> Q::Unit>(queue: Q, f: F) -> MapPush<Q, F, W> {
    MapPush { queue, f, _pushed: PhantomData }
}

/// See [`map`].
pub struct Map<Q, F> {
    queue: Held<Q>,
    f: F,
    /// Where pops are transformed first.
    pops: RunsIn,
}

impl<Q, F> Map<Q, F> {
    /// Where each direction runs. A device takes a [`Rewrite`] over for pops.
    pub fn offload(&self) -> Offload {
        Offload { pop: self.pops, ..Offload::SOFTWARE }
    }

    /// The inner queue.
    pub fn get_ref(&self) -> &Q {
        self.queue.get()
    }

    /// The inner queue; units popped here are not transformed, but by a device that has taken it over.
    pub fn get_mut(&mut self) -> &mut Q {
        self.queue.get_mut()
    }

    /// The inner queue and the function. A map reads nothing ahead.
    pub fn into_parts(mut self) -> (Q, F) {
        (self.queue.take(), self.f)
    }
}

impl<Q: Pop, F: Transform<Q::Unit>> Pop for Map<Q, F> {
    type Unit = F::Output;

    #[inline]
    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<F::Output>>> {
        let popped = self.queue.get_mut().poll_pop(cx);
        if self.pops != RunsIn::Software && self.queue.get().is_rewritten() {
            return popped.map_ok(|unit| unit.map(|u| self.f.transformed(u)));
        }
        popped.map_ok(|unit| unit.map(|u| self.f.transform(u)))
    }
}

impl<Q: Push, F> Push for Map<Q, F> {
    type Unit = Q::Unit;
    type Receipt = Q::Receipt;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.queue.get_mut().poll_ready(cx)
    }
    fn start_push(&mut self, unit: Q::Unit) -> Result<Ticket, PushError<Q::Unit>> {
        self.queue.get_mut().start_push(unit)
    }
    fn poll_pushed(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<Q::Receipt>> {
        self.queue.get_mut().poll_pushed(ticket, cx)
    }
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.queue.get_mut().poll_finish(cx)
    }
}

impl<Q, F> fmt::Debug for Map<Q, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").finish_non_exhaustive()
    }
}

/// See [`map_push`].
pub struct MapPush<Q, F, W> {
    queue: Q,
    f: F,
    _pushed: PhantomData<fn(W)>,
}

impl<Q, F, W> MapPush<Q, F, W> {
    /// The inner queue and the function.
    pub fn into_parts(self) -> (Q, F) {
        (self.queue, self.f)
    }
}

impl<Q: Push, W, F: FnMut(&W) -> Q::Unit> Push for MapPush<Q, F, W> {
    type Unit = W;
    type Receipt = Q::Receipt;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.queue.poll_ready(cx)
    }
    fn start_push(&mut self, unit: W) -> Result<Ticket, PushError<W>> {
        let mapped = (self.f)(&unit);
        self.queue.start_push(mapped).map_err(|refused| PushError::new(refused.error, unit))
    }
    fn poll_pushed(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<Q::Receipt>> {
        self.queue.poll_pushed(ticket, cx)
    }
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.queue.poll_finish(cx)
    }
}

impl<Q: Pop, F, W> Pop for MapPush<Q, F, W> {
    type Unit = Q::Unit;

    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Q::Unit>>> {
        self.queue.poll_pop(cx)
    }
}

impl<Q, F, W> fmt::Debug for MapPush<Q, F, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapPush").finish_non_exhaustive()
    }
}
