//! A queue whose first element lies in place.
//!
//! Most queues of a connection hold one thing or nothing: one request in flight, one response waiting. Then this is an `Option`,
//! without memory of its own, and pushing and popping cost a few instructions.

use std::collections::VecDeque;

/// First in, first out.
#[derive(Clone, Debug)]
pub(crate) struct Fifo<T> {
    /// `None` when the queue is empty.
    first: Option<T>,
    /// Made when there first is a second element, and kept: an idle connection that never had one does not pay for it.
    #[allow(clippy::box_collection)] // a word instead of four
    rest: Option<Box<VecDeque<T>>>,
}

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Self { first: None, rest: None }
    }
}

impl<T> Fifo<T> {
    pub(crate) fn len(&self) -> usize {
        if self.first.is_none() { 0 } else { 1 + self.rest.as_ref().map_or(0, |rest| rest.len()) }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Whether there is one and only one.
    #[inline(always)]
    pub(crate) fn has_one(&self) -> bool {
        self.first.is_some() && self.rest.as_ref().is_none_or(|rest| rest.is_empty())
    }

    /// Take the only one out ([`has_one`](Self::has_one)).
    #[inline(always)]
    pub(crate) fn take_one(&mut self) -> Option<T> {
        self.first.take()
    }

    /// Whether it is empty and has no memory of its own.
    #[inline]
    pub(crate) fn is_bare(&self) -> bool {
        self.first.is_none() && self.rest.is_none()
    }

    #[inline]
    pub(crate) fn push_back(&mut self, value: T) {
        if self.first.is_none() {
            self.first = Some(value);
        } else {
            self.push_behind(value);
        }
    }

    /// The same with a value that is made where it will lie.
    #[inline(always)]
    pub(crate) fn push_back_with(&mut self, make: impl FnOnce() -> T) {
        if self.first.is_none() {
            self.first = Some(make());
        } else {
            self.push_behind(make());
        }
    }

    #[inline(never)]
    fn push_behind(&mut self, value: T) {
        self.rest_mut().push_back(value);
    }

    pub(crate) fn push_front(&mut self, value: T) {
        if let Some(old) = self.first.replace(value) {
            self.rest_mut().push_front(old);
        }
    }

    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<T> {
        if self.rest.is_none() { self.first.take() } else { self.pop_and_refill() }
    }

    /// Let go of the first.
    #[inline(always)]
    pub(crate) fn drop_front(&mut self) {
        if self.rest.is_none() { self.first = None } else { drop(self.pop_and_refill()) }
    }

    #[inline(never)]
    fn pop_and_refill(&mut self) -> Option<T> {
        let next = self.rest.as_mut().and_then(|rest| rest.pop_front());
        std::mem::replace(&mut self.first, next)
    }

    #[inline]
    pub(crate) fn front(&self) -> Option<&T> {
        self.first.as_ref()
    }

    #[inline]
    pub(crate) fn front_mut(&mut self) -> Option<&mut T> {
        self.first.as_mut()
    }

    #[inline]
    pub(crate) fn back(&self) -> Option<&T> {
        self.rest.as_ref().and_then(|rest| rest.back()).or(self.first.as_ref())
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        if index == 0 { self.first.as_ref() } else { self.rest.as_ref()?.get(index - 1) }
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index == 0 { self.first.as_mut() } else { self.rest.as_mut()?.get_mut(index - 1) }
    }

    /// Put `value` before the element that is at `index` now (at most the length).
    pub(crate) fn insert(&mut self, index: usize, value: T) {
        if index == 0 { self.push_front(value) } else { self.rest_mut().insert(index - 1, value) }
    }

    /// How many elements at the front satisfy `is_before`, which must hold of all before the first of which it does not.
    #[inline]
    pub(crate) fn partition_point(&self, mut is_before: impl FnMut(&T) -> bool) -> usize {
        match &self.first {
            Some(first) if is_before(first) => {
                1 + self.rest.as_ref().map_or(0, |rest| rest.partition_point(is_before))
            }
            _ => 0,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(self.rest.iter().flat_map(|rest| rest.iter()))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.first.iter_mut().chain(self.rest.iter_mut().flat_map(|rest| rest.iter_mut()))
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn rest_mut(&mut self) -> &mut VecDeque<T> {
        self.rest.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn behaves_as_a_deque(ops in proptest::collection::vec((0_u8..6, 0_usize..9), 0..60)) {
            let (mut fifo, mut model) = (Fifo::default(), VecDeque::new());
            for (step, (op, at)) in ops.into_iter().enumerate() {
                match op {
                    0 | 1 => { fifo.push_back(step); model.push_back(step); }
                    2 => proptest::prop_assert_eq!(fifo.pop_front(), model.pop_front()),
                    3 => { fifo.push_front(step); model.push_front(step); }
                    4 => { fifo.insert(at.min(model.len()), step); model.insert(at.min(model.len()), step); }
                    _ => proptest::prop_assert_eq!(fifo.get_mut(at).map(|x| *x += 1), model.get_mut(at).map(|x| *x += 1)),
                }
                proptest::prop_assert!(fifo.iter().eq(&model) && fifo.iter_mut().map(|x| &*x).eq(&model));
                proptest::prop_assert_eq!((fifo.len(), fifo.is_empty()), (model.len(), model.is_empty()));
                proptest::prop_assert_eq!((fifo.front(), fifo.back(), fifo.get(at)), (model.front(), model.back(), model.get(at)));
                proptest::prop_assert_eq!(fifo.front_mut(), model.front_mut());
            }
            let mut sorted = Fifo::default();
            (0..model.len()).for_each(|i| sorted.push_back(i));
            proptest::prop_assert_eq!(sorted.partition_point(|x| *x < 5), model.len().min(5));
            fifo.clear();
            proptest::prop_assert!(fifo.is_empty());
        }
    }
}
