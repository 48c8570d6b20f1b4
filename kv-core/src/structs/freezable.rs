//! A piece of a container that can be frozen: others go on reading it as it was, on other threads, while its owner changes it.
//!
//! ```text
//! Own(T)           as fast as `T` itself but for one branch
//! Frozen(Arc<T>)   since it was frozen; the next write takes `T` back, or copies it if somebody still reads it
//! ```
//!
//! Freezing moves `T` behind an `Arc` and copies nothing that is behind `T`, so a container of many such pieces is frozen in
//! O(pieces), and each piece is copied at most once, when it is written to. A piece that nobody reads any more is taken back
//! without copying.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// What can be frozen. `Default` is empty and allocates nothing.
pub trait Piece: Default {
    /// A copy that holds as much memory as this, so that accounts of it stay right.
    fn copy(&self) -> Self;
}

impl Piece for Vec<u8> {
    fn copy(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(self.capacity());
        copy.extend_from_slice(self);
        copy
    }
}

impl Piece for Box<[u8]> {
    fn copy(&self) -> Box<[u8]> {
        self.clone()
    }
}

#[derive(Debug)]
pub enum Freezable<T> {
    Own(T),
    Frozen(Arc<T>),
}

impl<T: Piece> Freezable<T> {
    /// What it is now, for others to read for as long as they like.
    pub fn freeze(&mut self) -> Arc<T> {
        match self {
            Freezable::Frozen(shared) => Arc::clone(shared),
            Freezable::Own(own) => {
                let shared = Arc::new(std::mem::take(own));
                *self = Freezable::Frozen(Arc::clone(&shared));
                shared
            }
        }
    }

    /// The same, as a piece of another container.
    pub fn frozen(&mut self) -> Freezable<T> {
        Freezable::Frozen(self.freeze())
    }

    pub fn into_own(self) -> T {
        match self {
            Freezable::Own(own) => own,
            Freezable::Frozen(shared) => Arc::try_unwrap(shared).unwrap_or_else(|shared| shared.copy()),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_back(&mut self) {
        *self = Freezable::Own(std::mem::take(self).into_own());
    }
}

impl<T> Deref for Freezable<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        match self {
            Freezable::Own(own) => own,
            Freezable::Frozen(shared) => shared,
        }
    }
}

/// Copies what is frozen and still read.
impl<T: Piece> DerefMut for Freezable<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        if let Freezable::Frozen(_) = self {
            self.take_back();
        }
        match self {
            Freezable::Own(own) => own,
            Freezable::Frozen(_) => unreachable!("it was just taken back"),
        }
    }
}

impl<T> From<T> for Freezable<T> {
    #[inline]
    fn from(own: T) -> Freezable<T> {
        Freezable::Own(own)
    }
}

impl<T: Default> Default for Freezable<T> {
    #[inline]
    fn default() -> Freezable<T> {
        Freezable::Own(T::default())
    }
}

/// A copy shares nothing.
impl<T: Clone> Clone for Freezable<T> {
    fn clone(&self) -> Freezable<T> {
        Freezable::Own(T::clone(self))
    }
}

impl<T: PartialEq> PartialEq for Freezable<T> {
    fn eq(&self, other: &Freezable<T>) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Freezable<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_frozen_stays_as_it_was_and_is_copied_by_the_first_write_alone() {
        let mut piece = Freezable::from(Vec::with_capacity(100));
        piece.extend_from_slice(b"before");
        let at = piece.as_ptr();
        let (frozen, again) = (piece.freeze(), piece.freeze());
        assert_eq!((frozen.as_ptr(), again.as_ptr(), piece.as_ptr()), (at, at, at), "nothing is copied yet");
        piece.extend_from_slice(b" and after");
        let copied = piece.as_ptr();
        piece[0] = b'B';
        assert_eq!((&frozen[..], &piece[..], piece.capacity()), (&b"before"[..], &b"Before and after"[..], 100));
        assert!(copied != at && piece.as_ptr() == copied);
    }

    #[test]
    fn what_nobody_reads_any_more_is_taken_back_without_copying() {
        let mut piece = Freezable::from(b"text".to_vec());
        let at = piece.as_ptr();
        drop(piece.freeze());
        piece[0] = b'n';
        assert_eq!((&piece[..], piece.as_ptr()), (&b"next"[..], at));
        let frozen = piece.frozen();
        drop(piece);
        let own = frozen.into_own();
        assert_eq!(own.as_ptr(), at);
    }

    #[test]
    fn the_two_forms_take_no_more_room_than_one() {
        assert_eq!(size_of::<Freezable<Vec<u8>>>(), size_of::<Vec<u8>>());
        assert_eq!(size_of::<Freezable<Box<[u8]>>>(), size_of::<Box<[u8]>>());
    }
}
