//! Attempts to fetch something from the manager over whatever link there is, until one succeeds (design §5).

use std::io;
use std::time::Duration;

use tokio::sync::watch;
use tonic::transport::Channel;

/// How long to wait before a fetch that broke is taken up again; doubled each time.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest such wait.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How an attempt failed.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Another may succeed.
    Again(String),
    /// No other will.
    Hopeless(String),
}

impl From<tonic::Status> for Broken {
    fn from(status: tonic::Status) -> Self {
        use tonic::Code;
        let reason = status.message().to_owned();
        match status.code() {
            Code::NotFound | Code::PermissionDenied | Code::InvalidArgument | Code::Unimplemented => {
                Self::Hopeless(format!("the manager does not hand it out: {reason}"))
            }
            _ => Self::Again(reason),
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull => Self::Hopeless(format!("this host cannot keep it: {error}")),
            _ => Self::Again(format!("this host cannot keep it: {error}")),
        }
    }
}

/// Attempts one after the other, whenever there is a link.
#[derive(Debug)]
pub(crate) struct Attempts {
    link: watch::Receiver<Option<Channel>>,
    pause: Option<Duration>,
    /// How the last one failed.
    pub last: String,
}

impl Attempts {
    /// None was made yet.
    pub(crate) fn new(link: watch::Receiver<Option<Channel>>) -> Self {
        Self { link, pause: None, last: "there is no link to a manager".to_owned() }
    }

    /// Waits for the next one's turn; answers with the link to make it over.
    ///
    /// # Errors
    /// There will be no link any more.
    pub(crate) async fn next(&mut self) -> Result<Channel, String> {
        if let Some(pause) = self.pause {
            tokio::time::sleep(pause).await;
        }
        self.pause = Some(self.pause.map_or(PAUSE, |pause| (pause * 2).min(PAUSE_MAX)));
        loop {
            match self.link.wait_for(Option::is_some).await.map(|channel| channel.clone()) {
                Ok(Some(channel)) => return Ok(channel),
                Ok(None) => {}
                Err(_) => return Err("the agent stops".to_owned()),
            }
        }
    }

    /// One failed.
    ///
    /// # Errors
    /// No other will succeed; why, for people.
    pub(crate) fn failed(&mut self, broken: Broken) -> Result<(), String> {
        match broken {
            Broken::Again(reason) => self.last = reason,
            Broken::Hopeless(reason) => return Err(reason),
        }
        Ok(())
    }
}
