//! One question to one server, and what its answer says.

use std::time::Duration;

use hostler_core::maintenance::policy::Gate;
use reqwest::{Response, StatusCode, Url, header};

use super::alert;
use crate::config::Config;
use crate::webhook::guard::Guard;
use crate::webhook::reach::{Reach, told};

/// How much of a list of alerts is read, in bytes.
const ALERTS_MAX: usize = 1 << 20;

/// Asks servers. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Asker(Reach);

impl Asker {
    /// Prepares connections that may go where those of webhooks may; opens none.
    pub(super) fn new(config: &Config, patience: Duration) -> Self {
        let guard = Guard::new(&config.webhooks, config.listen.rest.ip().is_loopback()).with_http();
        Self(Reach::new(guard, patience, config.webhooks.ca_file.as_deref()))
    }

    /// Asks for a gate. 200 opens it; any other status, and the text, keep it closed.
    pub(super) async fn ask(&self, gate: &Gate) -> Result<u16, String> {
        match gate {
            // Only the status counts: nothing of the body is read.
            Gate::Http { url } => Ok(self.get(url).await?.status().as_u16()),
            Gate::AlertsClear { url, filter } => {
                let response = self.get(alerts_of(url, filter)?.as_str()).await?;
                match response.status() {
                    StatusCode::OK => alert::clear(&body(response).await?).map(|()| StatusCode::OK.as_u16()),
                    other => Ok(other.as_u16()),
                }
            }
            Gate::CephHealth | Gate::Probe { .. } | Gate::ManualApproval { .. } => {
                Err("it is not opened by a server".into())
            }
        }
    }

    async fn get(&self, url: &str) -> Result<Response, String> {
        let (url, client) = self.0.to(url)?;
        let request = client.get(url).header(header::ACCEPT, "application/json, */*;q=0.5");
        request.send().await.map_err(|error| told(&error, "the server"))
    }
}

/// Where an Alertmanager lists the alerts that count.
fn alerts_of(url: &str, filter: &[String]) -> Result<Url, String> {
    let mut url: Url = url.parse().map_err(|error| format!("it is not a URL: {error}"))?;
    url.path_segments_mut().map_err(|()| "it is not a URL of a server")?.pop_if_empty().extend(["api", "v2", "alerts"]);
    let only = [("active", "true"), ("silenced", "false"), ("inhibited", "false")];
    let filter = filter.iter().map(|matcher| ("filter", matcher.as_str()));
    url.query_pairs_mut().extend_pairs(only.into_iter().chain(filter));
    Ok(url)
}

/// The whole body; a list that is larger than we read is surely not empty.
async fn body(mut response: Response) -> Result<Vec<u8>, String> {
    let mut whole = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| told(&error, "the server"))? {
        whole.extend_from_slice(&chunk);
        if whole.len() > ALERTS_MAX {
            return Err(format!("its list of alerts has more than {ALERTS_MAX} bytes"));
        }
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_asked_for_with_every_matcher() {
        let asked = |url: &str, filter: &[&str]| {
            let filter: Vec<String> = filter.iter().map(|one| (*one).to_owned()).collect();
            alerts_of(url, &filter).unwrap().to_string()
        };
        let only = "active=true&silenced=false&inhibited=false";
        assert_eq!(asked("http://am:9093", &[]), format!("http://am:9093/api/v2/alerts?{only}"));
        assert_eq!(
            asked("https://x/am/", &["a=\"b c\"", "d=~e|f&g"]),
            format!("https://x/am/api/v2/alerts?{only}&filter=a%3D%22b+c%22&filter=d%3D%7Ee%7Cf%26g")
        );
        assert!(alerts_of("mailto:x", &[]).is_err());
    }
}
