//! The gRPC method of the link, by hand: what the generated code does with it costs each connected agent the buffers of its
//! reader and its writer (see [`super::frames`]).

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hostler_proto::v1;
use hostler_proto::v1::agent_link_server::AgentLinkServer;
use http::header;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{BufferSettings, EncodeBody};
use tonic::metadata::GRPC_CONTENT_TYPE;
use tonic::server::NamedService;
use tonic_prost::ProstEncoder;

use super::frames::{Frames, Room};
use super::link::Service;

/// The path of the method.
const ATTACH: &str = "/hostler.agent.v1.AgentLink/Attach";

/// The writer's buffer, in bytes; it grows where a job is larger.
const WRITE_BUFFER: usize = 512;

/// How many bytes may be encoded before they are handed to the connection.
const WRITE_MAX: usize = 16 << 10;

/// The service `AgentLink`: links by hand, everything else by the generated code.
#[derive(Clone)]
pub(super) struct Links {
    service: Service,
    others: AgentLinkServer<Service>,
    room: Room,
}

impl Links {
    pub(super) fn new(service: Service) -> Self {
        Self { others: AgentLinkServer::new(service.clone()), service, room: Room::new() }
    }
}

impl NamedService for Links {
    const NAME: &'static str = AgentLinkServer::<Service>::NAME;
}

impl tower::Service<http::Request<Body>> for Links {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != ATTACH {
            return self.others.call(request);
        }
        let (service, room) = (self.service.clone(), self.room.clone());
        let request = tonic::Request::from_http(request.map(|body| Frames::new(body, room)));
        Box::pin(async move { Ok(service.link(request).await.map_or_else(Status::into_http, answer)) })
    }
}

/// The answer to a link that began: its body lasts as long as the link does.
fn answer(outgoing: tokio::sync::mpsc::Receiver<Result<v1::ManagerFrame, Status>>) -> http::Response<Body> {
    let encoder = ProstEncoder::new(BufferSettings::new(WRITE_BUFFER, WRITE_MAX));
    let body = EncodeBody::new_server(encoder, ReceiverStream::new(outgoing), None, Default::default(), None);
    let mut response = http::Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_that_of_the_protocol() {
        let service = ATTACH.trim_start_matches('/').split_once('/');
        assert_eq!(service, Some((Links::NAME, "Attach")));
    }
}
