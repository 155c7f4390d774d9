//! stub
#[allow(missing_docs)]
#[derive(Clone)]
pub struct Identity;
