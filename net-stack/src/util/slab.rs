//! A slab whose slots have generations, so that a name of something that is gone names nothing.

/// Values in numbered slots.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Put a value in; returns its slot and the slot's generation.
    pub(crate) fn insert(&mut self, value: T) -> (u32, u32) {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.value = Some(value);
            return (index, slot.generation);
        }
        self.slots.push(Slot { generation: 0, value: Some(value) });
        (self.slots.len() as u32 - 1, 0)
    }

    /// The slot that the next value comes to, and its generation.
    pub(crate) fn next(&self) -> (u32, u32) {
        let index = self.free.last().copied().unwrap_or(self.slots.len() as u32);
        (index, self.generation(index))
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.slots.get(index as usize)?.value.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.value.as_mut()
    }

    /// The value, if its slot has not been emptied since it was given this generation.
    #[inline]
    pub(crate) fn named(&self, index: u32, generation: u32) -> Option<&T> {
        self.slots.get(index as usize).filter(|s| s.generation == generation)?.value.as_ref()
    }

    #[inline]
    pub(crate) fn named_mut(&mut self, index: u32, generation: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize).filter(|s| s.generation == generation)?.value.as_mut()
    }

    /// A slot's generation and value.
    #[inline]
    pub(crate) fn entry_mut(&mut self, index: u32) -> Option<(u32, &mut T)> {
        let slot = self.slots.get_mut(index as usize)?;
        Some((slot.generation, slot.value.as_mut()?))
    }

    #[inline]
    pub(crate) fn generation(&self, index: u32) -> u32 {
        self.slots.get(index as usize).map_or(0, |s| s.generation)
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let slot = self.slots.get_mut(index as usize)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        Some(value)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots.iter().enumerate().filter_map(|(i, s)| Some((i as u32, s.value.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::Slab;

    #[test]
    fn stale_names_name_nothing() {
        let mut slab = Slab::default();
        let (a, generation) = slab.insert('a');
        assert_ne!(slab.next().0, a);
        assert_eq!(slab.named(a, generation), Some(&'a'));
        assert_eq!((slab.remove(a), slab.remove(a)), (Some('a'), None));
        let foretold = slab.next();
        let (b, next) = slab.insert('b');
        assert_eq!(foretold, (b, next));
        assert_eq!((a, slab.named(a, generation), slab.named(b, next), slab.len()), (b, None, Some(&'b'), 1));
    }
}
