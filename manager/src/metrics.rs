//! What the manager counts of itself, as Prometheus text.
//!
//! The counters are statics of the process, as they are touched on every request and every transaction and need neither an
//! allocation nor a lock. What the store knows better (hosts, jobs) is asked for when somebody looks, by the REST server.

pub mod histogram;
pub mod hot;
pub mod text;

/// Which interface a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The native API.
    Native,
    /// Identity.
    Identity,
    /// Introspection.
    Introspection,
    /// Maintenance.
    Maintenance,
    /// Health, metrics, and everything else at the root.
    Service,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Native, Self::Identity, Self::Introspection, Self::Maintenance, Self::Service];

    /// The stable name, a label of metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Identity => "identity",
            Self::Introspection => "introspection",
            Self::Maintenance => "maintenance",
            Self::Service => "service",
        }
    }

    /// Its place in [`Dialect::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::Dialect;

    #[test]
    fn places_are_those_of_the_list() {
        for (index, dialect) in Dialect::ALL.into_iter().enumerate() {
            assert_eq!(dialect.index(), index);
        }
    }
}
