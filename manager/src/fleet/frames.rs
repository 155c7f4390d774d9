//! The frames of a link as they come in. A link that waits for its next frame holds no buffer: with the reader that comes
//! with the gRPC library, each link would keep the memory of its largest document for as long as the agent is connected.

use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use hostler_proto::{MESSAGE_MAX, v1};
use http_body_util::BodyExt as _;
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::body::Body;

/// What stands before each message: whether it is compressed, and its length.
const HEADER: usize = 5;

/// Messages over this size, in bytes, need [`Room`].
const LARGE: usize = 32 << 10;

/// Room for the large messages of all links together: who finds none waits, and its agent with it (design §10.10).
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    /// KiB of large messages at once: more than one of the largest, and as many ordinary documents as keep the store busy.
    const KIB: usize = 18 << 10;

    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(Self::KIB)))
    }

    async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Status> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.0).acquire_many_owned(kib).await;
        permit.map_err(|_| Status::unavailable("the manager stops"))
    }
}

// A frame that is larger than all room would wait for ever.
const _: () = assert!(Room::KIB << 10 >= MESSAGE_MAX);

/// A message in the making.
struct Partial {
    length: usize,
    bytes: Vec<u8>,
}

/// The frames of one link.
pub(super) struct Frames {
    body: Body,
    room: Room,
    /// What came of the body and was not looked at.
    unread: Bytes,
    header: Vec<u8>,
    message: Option<Partial>,
    /// The room of the message that was returned last: it counts until the next is asked for.
    held: Option<OwnedSemaphorePermit>,
}

impl Frames {
    pub(super) fn new(body: Body, room: Room) -> Self {
        let (unread, header) = (Bytes::new(), Vec::new());
        Self { body, room, unread, header, message: None, held: None }
    }

    /// The next frame; `None` when the agent said its last. A call that is dropped before it ends loses nothing.
    ///
    /// # Errors
    /// The connection broke, or the agent sends what is no frame. There is nothing to come after that.
    pub(super) async fn next(&mut self) -> Result<Option<v1::AgentFrame>, Status> {
        loop {
            if self.message.is_none() {
                self.held = None;
                self.read_header()?;
            }
            if let Some(message) = &mut self.message {
                if message.length > LARGE && self.held.is_none() {
                    self.held = Some(self.room.take(message.length).await?);
                    message.bytes.reserve_exact(message.length);
                }
                let wanted = (message.length - message.bytes.len()).min(self.unread.len());
                message.bytes.extend_from_slice(&self.unread[..wanted]);
                self.unread.advance(wanted);
                if message.bytes.len() == message.length {
                    return self.finish().map(Some);
                }
            }
            // An empty slice would still hold on to the buffer that it was cut from.
            self.unread = Bytes::new();
            match self.body.frame().await {
                None if self.header.is_empty() && self.message.is_none() => return Ok(None),
                None => return Err(Status::data_loss("the stream ends within a frame")),
                Some(frame) => self.unread = frame?.into_data().unwrap_or_default(),
            }
        }
    }

    /// Reads on in the header of the next message, which begins when its header is complete.
    fn read_header(&mut self) -> Result<(), Status> {
        let wanted = (HEADER - self.header.len()).min(self.unread.len());
        self.header.extend_from_slice(&self.unread[..wanted]);
        self.unread.advance(wanted);
        let &[compressed, a, b, c, d] = self.header.as_slice() else { return Ok(()) };
        if compressed != 0 {
            return Err(Status::unimplemented("compressed frames are not understood"));
        }
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > MESSAGE_MAX {
            let text = format!("a frame of {length} bytes is over the limit of {MESSAGE_MAX}");
            return Err(Status::out_of_range(text));
        }
        self.header.clear();
        // The memory of a large message is taken when there is room for it.
        let bytes = Vec::with_capacity(if length > LARGE { 0 } else { length });
        self.message = Some(Partial { length, bytes });
        Ok(())
    }

    fn finish(&mut self) -> Result<v1::AgentFrame, Status> {
        if self.unread.is_empty() {
            self.unread = Bytes::new();
        }
        let bytes = self.message.take().map_or_else(Vec::new, |message| message.bytes);
        v1::AgentFrame::decode(bytes.as_slice())
            .map_err(|error| Status::invalid_argument(format!("a frame cannot be understood: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use hostler_proto::v1::agent_frame::Frame;
    use http_body_util::StreamBody;
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::ReceiverStream;

    use super::*;

    type Data = Result<hyper::body::Frame<Bytes>, Status>;

    fn frames(room: Room) -> (mpsc::Sender<Data>, Frames) {
        let (sender, data) = mpsc::channel(64);
        (sender, Frames::new(Body::new(StreamBody::new(ReceiverStream::new(data))), room))
    }

    fn data(bytes: impl Into<Bytes>) -> Data {
        Ok(hyper::body::Frame::data(bytes.into()))
    }

    fn hello(version: &str) -> v1::AgentFrame {
        v1::AgentFrame { frame: Some(Frame::Hello(v1::Hello { version: version.into(), ..Default::default() })) }
    }

    fn wire(frame: &v1::AgentFrame) -> Vec<u8> {
        let message = frame.encode_to_vec();
        let mut bytes = vec![0];
        bytes.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(&message);
        bytes
    }

    #[tokio::test]
    async fn frames_are_the_same_however_they_are_cut() {
        let sent = [hello("1"), v1::AgentFrame { frame: None }, hello(&"x".repeat(100_000)), hello("2")];
        let bytes: Vec<u8> = sent.iter().flat_map(wire).collect();
        for size in [1, 2, 5, 7, 16_384, bytes.len()] {
            let (sender, mut frames) = frames(Room::new());
            let bytes = Bytes::from(bytes.clone());
            let sending = tokio::spawn(async move {
                let mut rest = bytes;
                while !rest.is_empty() {
                    sender.send(data(rest.split_to(size.min(rest.len())))).await.unwrap();
                }
            });
            for frame in &sent {
                assert_eq!(frames.next().await.unwrap().as_ref(), Some(frame), "cut every {size}");
            }
            assert!(frames.next().await.unwrap().is_none());
            sending.await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_no_frame_is_refused() {
        let too_long = u32::try_from(MESSAGE_MAX + 1).unwrap().to_be_bytes();
        let [a, b, c, d] = too_long;
        for (bytes, code) in [
            (vec![1, 0, 0, 0, 0], tonic::Code::Unimplemented),
            (vec![0, a, b, c, d], tonic::Code::OutOfRange),
            (vec![0, 0, 0, 0, 2, 0xff, 0xff], tonic::Code::InvalidArgument),
            (vec![0, 0, 0], tonic::Code::DataLoss),
            (vec![0, 0, 0, 0, 9, 1], tonic::Code::DataLoss),
        ] {
            let (sender, mut frames) = frames(Room::new());
            sender.send(data(bytes.clone())).await.unwrap();
            drop(sender);
            assert_eq!(frames.next().await.unwrap_err().code(), code, "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn large_messages_share_their_room_and_give_it_back() {
        let room = Room(Arc::new(Semaphore::new(150)));
        let (one_sender, mut one) = frames(room.clone());
        let (other_sender, mut other) = frames(room.clone());
        let large = Bytes::from(wire(&hello(&"x".repeat(100_000))));
        one_sender.send(data(large.clone())).await.unwrap();
        other_sender.send(data(large)).await.unwrap();
        assert!(one.next().await.unwrap().is_some());
        assert!(other.next().now_or_never().is_none(), "there is no room for two");
        one_sender.send(data(wire(&hello("1")))).await.unwrap();
        assert!(one.next().await.unwrap().is_some());
        assert!(other.next().await.unwrap().is_some());
    }
}
