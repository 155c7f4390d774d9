//! stub
use crate::engine::Engine;
#[allow(missing_docs)]
#[derive(Clone)]
pub struct Identity;
impl Identity {
    #[allow(missing_docs)]
    pub fn new(_: Engine, _: &crate::config::Auth) -> Self {
        Self
    }
}
