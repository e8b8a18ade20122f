//! Memory of the notifications that are being read or wait to be written.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes for the bodies of all of these notifications together. Without this limit, the bodies of a full queue would
/// take hundreds of megabytes.
const LIMIT: usize = 16 << 20;

/// The queue or the memory for notifications is full, or the recorder has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overloaded;

/// The memory, shared by all notifications.
#[derive(Debug, Clone)]
pub(super) struct Memory(Arc<Semaphore>);

impl Default for Memory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LIMIT)))
    }
}

impl Memory {
    /// Bytes that are reserved, and how many can be.
    pub(super) fn usage(&self) -> (usize, usize) {
        (LIMIT - self.0.available_permits().min(LIMIT), LIMIT)
    }

    pub(super) fn reservation(&self) -> Reservation {
        Reservation { memory: Some(self.clone()), permit: None }
    }
}

/// The part of the memory that one notification has. It is released when the notification has been answered.
#[derive(Debug, Default)]
pub struct Reservation {
    /// `None` for a notification without a body.
    memory: Option<Memory>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Reservation {
    /// Grows to this number of bytes. A body that is larger than the whole memory needs all of it.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] if other notifications have the memory.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Overloaded> {
        let Some(Memory(memory)) = &self.memory else { return Ok(()) };
        let reserved = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = u32::try_from(bytes.min(LIMIT).saturating_sub(reserved)).map_err(|_| Overloaded)?;
        if missing > 0 {
            let more = memory.clone().try_acquire_many_owned(missing).map_err(|_| Overloaded)?;
            match &mut self.permit {
                Some(permit) => permit.merge(more),
                None => self.permit = Some(more),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_share_the_limit_and_release_it() {
        let memory = Memory::default();
        let (mut first, mut second) = (memory.reservation(), memory.reservation());
        assert_eq!(first.grow_to(1000), Ok(()));
        assert_eq!(first.grow_to(500), Ok(()), "it does not shrink");
        assert_eq!(memory.usage(), (1000, LIMIT));
        assert_eq!(second.grow_to(LIMIT - 1000), Ok(()));
        assert_eq!(first.grow_to(1001), Err(Overloaded));
        assert_eq!(first.grow_to(1000), Ok(()), "what it has stays reserved");
        drop(second);
        assert_eq!(first.grow_to(usize::MAX), Ok(()), "the largest body needs the whole memory");
        assert_eq!(memory.reservation().grow_to(1), Err(Overloaded));
        drop(first);
        assert_eq!(memory.reservation().grow_to(LIMIT), Ok(()));
    }
}
