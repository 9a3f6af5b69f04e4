//! [`Assembly`]: the half of a [`Framed`](super::Framed) that decodes, for the task and for the reactor.

use std::{
    any::Any,
    cell::{RefCell, RefMut},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use hemi_queue::{Assembler, Buf, Result};

use super::{Decoder, Input};

/// The decoder and what it has to decode. The task decodes when it pops; while its pop waits the reactor does, at most one
/// unit ahead.
pub(super) struct Assembly<C: Decoder>(RefCell<Half<C>>);

pub(super) struct Half<C: Decoder> {
    /// `None` once the queue was taken apart.
    codec: Option<C>,
    pub(super) input: Input,
    /// What the decoder answered in the reactor's turn.
    pub(super) answer: Option<Answer<C::Unit>>,
    /// Nothing more is decoded here: segments stay at the socket.
    over: bool,
}

/// What a decoder answered where nobody could take it.
pub(super) enum Answer<T> {
    Decoded(Result<T>),
    /// It is the task's panic, not the reactor's.
    Panicked(Box<dyn Any + Send>),
}

impl<T> Answer<T> {
    /// What it answered; the task takes over its panic.
    pub(super) fn into_decoded(self) -> Result<T> {
        match self {
            Self::Decoded(decoded) => decoded,
            Self::Panicked(panic) => resume_unwind(panic),
        }
    }
}

impl<C: Decoder> Assembly<C> {
    pub(super) fn new(codec: C) -> Self {
        let half = Half { codec: Some(codec), input: Input::new(), answer: None, over: false };
        Self(RefCell::new(half))
    }

    /// The task's access: the reactor never runs meanwhile.
    pub(super) fn borrow(&self) -> RefMut<'_, Half<C>> {
        self.0.borrow_mut()
    }
}

impl<C: Decoder> Half<C> {
    pub(super) fn codec(&mut self) -> &mut C {
        self.codec.as_mut().expect("only `into_parts` takes it, and the queue with it")
    }

    pub(super) fn decode(&mut self) -> Result<Option<C::Unit>> {
        match &mut self.codec {
            Some(codec) => codec.decode(&mut self.input),
            None => Ok(None),
        }
    }

    pub(super) fn finish(&mut self) -> Result<Option<C::Unit>> {
        match &mut self.codec {
            Some(codec) => codec.finish(&mut self.input),
            None => Ok(None),
        }
    }

    /// Nothing more is decoded.
    pub(super) fn end(&mut self) {
        self.over = true;
    }

    /// As [`end`](Self::end); the codec goes elsewhere.
    pub(super) fn take_codec(&mut self) -> C {
        self.end();
        self.codec.take().expect("taken once")
    }
}

impl<C: Decoder> Assembler for Assembly<C> {
    fn arrived(&self, segment: Buf) -> Result<bool, Buf> {
        let half = &mut *self.borrow();
        if half.over || half.answer.is_some() {
            return Err(segment);
        }
        half.input.push(segment);
        // A panic of the user's decoder belongs to the user's task: here it would end the runtime.
        half.answer = match catch_unwind(AssertUnwindSafe(|| half.decode())) {
            Ok(decoded) => decoded.transpose().map(Answer::Decoded),
            Err(panic) => Some(Answer::Panicked(panic)),
        };
        Ok(half.answer.is_some())
    }
}
