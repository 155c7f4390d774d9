//! Where randomness comes from, so that simulations own it.

/// A source of random numbers from which identifiers are made.
pub trait Seeds: Send + Sync {
    /// A fresh random number.
    fn seed(&self) -> u128;
}

/// The random numbers of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsSeeds;

impl Seeds for OsSeeds {
    fn seed(&self) -> u128 {
        uuid::Uuid::new_v4().as_u128() ^ uuid::Uuid::new_v4().as_u128().rotate_left(64)
    }
}
