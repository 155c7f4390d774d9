//! The seam to the compute side: what sessions of maintenance know of instances, and how these move (spec/maintenance.md §3.8).
//!
//! Nothing here decides. What is to be moved is decided by sessions and written as orders ([`crate::store::maintenance`]);
//! the engine hands orders over until the compute side has them and says what came of them. An order has an id, by which the
//! compute side takes it once, so handing it over again after a crash, or by another manager, changes nothing.

mod memory;

use std::fmt::Debug;
use std::sync::Arc;

use futures::future::BoxFuture;
use hostler_core::maintenance::instance::Computes;
use hostler_core::maintenance::movement::{End, Failure, Retry};
use hostler_core::maintenance::word::MoveOrder;
use uuid::Uuid;

use crate::store::{Connection, Result};

pub use memory::Memory;

/// Who runs instances.
pub trait Compute: Debug + Send + Sync + 'static {
    /// All instances, and the capacity of all hosts that could take one, as known in this transaction. It is asked for with
    /// every decision of a session, so it must not wait for anybody far away.
    fn computes<'t>(&'t self, connection: &'t mut Connection) -> BoxFuture<'t, Result<Computes>>;

    /// Begins a move. The same id again changes nothing, also after it ended, and also if it was aborted before it began.
    fn begin<'t>(&'t self, id: Uuid, order: &'t MoveOrder) -> BoxFuture<'t, Result<()>>;

    /// Ends a move as soon as that does no harm; [`Compute::outcome`] says what came of it. A move that has ended stays as it
    /// is; an id that never began never begins any more.
    fn abort(&self, id: Uuid) -> BoxFuture<'_, Result<()>>;

    /// How a move ended; `None` while it has not. It is answered as long as somebody may ask: a day at least.
    fn outcome(&self, id: Uuid) -> BoxFuture<'_, Result<Option<End>>>;

    /// Returns when some move may have ended; one that cannot tell is asked now and then.
    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// Who runs instances, for settings: nobody, if nothing else is said.
#[derive(Clone, Debug)]
pub struct ComputeSide(pub Arc<dyn Compute>);

impl Default for ComputeSide {
    fn default() -> Self {
        Self(Arc::new(NoCompute))
    }
}

/// Nobody runs instances: there are none, and none can be moved.
#[derive(Clone, Copy, Debug)]
pub struct NoCompute;

impl Compute for NoCompute {
    fn computes<'t>(&'t self, _: &'t mut Connection) -> BoxFuture<'t, Result<Computes>> {
        Box::pin(async { Ok(Computes::default()) })
    }

    fn begin<'t>(&'t self, _: Uuid, _: &'t MoveOrder) -> BoxFuture<'t, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn abort(&self, _: Uuid) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn outcome(&self, _: Uuid) -> BoxFuture<'_, Result<Option<End>>> {
        let text = "there is nobody here who runs instances".to_owned();
        let failure = Failure { code: "instance.gone".into(), text, retry: Retry::Never };
        Box::pin(async { Ok(Some(End::failed(None, failure))) })
    }
}
