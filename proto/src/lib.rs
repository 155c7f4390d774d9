//! The agent protocol: generated code, and the only place that sees both the wire and the vocabulary of
//! `hostler-common`.

mod convert;

pub use convert::{ConvertError, read_document, write_document};

/// The generated messages, clients and servers.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    tonic::include_proto!("hostler.agent.v1");
}

/// The largest message that is taken, in bytes: the largest document and room for the rest.
pub const MESSAGE_MAX: usize = hostler_common::job::DOCUMENT_MAX + (1 << 20);
