//! Settings of the cluster (spec/hooks.md §4.2). The specification names the paths alone; the fields are ours (docs/croit.md).
//!
//! What is read is what the agent that watches the cluster said last; a change is a step of that agent, and the answer waits
//! for it.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use hostler_common::cluster::Settings;
use hostler_common::step::{CephScrub, CephSetting, FullRatios, RecoverySpeed, Step};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Croit;
use super::body::{Json, empty};
use super::guard::Asker;
use super::operation::{cluster, made};
use super::parameters::Parameters;
use crate::api::native::error::{Error, Result};

/// The settings of the cluster that a request is about.
fn settings(croit: &Croit, parameters: &Parameters) -> Result<Settings> {
    let (_, state) = cluster(croit, parameters.get("cluster"))?;
    state.settings.ok_or_else(|| Error::conflict("the settings of the cluster are not known"))
}

/// Makes a change and remembers how it is then: the agent that watches looks only now and then.
async fn change(croit: &Croit, asker: &Asker, parameters: &Parameters, setting: CephSetting) -> Result<Response> {
    setting.check().map_err(|fault| Error::field(on_the_wire(fault.field), fault.rule))?;
    let (host, state) = cluster(croit, parameters.get("cluster"))?;
    let task = made(croit, asker, host, Step::CephSetting(setting)).await?;
    let after = task.result.and_then(|result| serde_json::from_value(result["after"].clone()).ok());
    if let Some(after) = after {
        croit.api.fleet.cluster_settings(&state.fsid, after);
    }
    Ok(empty(StatusCode::NO_CONTENT))
}

/// What a field of a setting is called in requests.
fn on_the_wire(field: &'static str) -> &'static str {
    match field {
        "full" => "fullRatio",
        "max" => "maxMds",
        "release" => "minCompatClient",
        other => other,
    }
}

/// A ratio as the wire has it.
fn ratio(ten_thousandths: Option<u32>) -> Option<f64> {
    ten_thousandths.map(|value| f64::from(value) / 10_000.0)
}

/// A ratio of the wire, in ten-thousandths.
fn of_ratio(field: &str, value: Option<f64>) -> Result<Option<u32>> {
    let Some(value) = value else { return Ok(None) };
    if !(value > 0.0 && value <= 1.0) {
        return Err(Error::field(field, "must be above 0 and at most 1"));
    }
    // It is between 0 and 10,000.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok(Some((value * 10_000.0).round() as u32))
}

/// The file system that a request is about: the one that it names, else the only one.
fn filesystem(settings: &Settings, named: Option<String>) -> Result<String> {
    match named {
        Some(name) if settings.filesystems.contains_key(&name) => Ok(name),
        Some(name) => Err(Error::field("filesystem", format_args!("there is no file system {name:?}"))),
        None => match settings.filesystems.keys().collect::<Vec<_>>().as_slice() {
            [] => Err(Error::conflict("the cluster has no file system")),
            [only] => Ok((*only).clone()),
            _ => Err(Error::field("filesystem", "is required: there are several file systems")),
        },
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RecoverySpeedBody {
    speed: RecoverySpeed,
}

/// `GET /maintenance/recovery-speed`
pub(super) async fn recovery_speed(State(croit): State<Croit>, parameters: Parameters) -> Result<Response> {
    let speed = settings(&croit, &parameters)?.recovery_speed;
    Ok(Answer(json!({ "speed": speed.map_or("custom", RecoverySpeed::name) })).into_response())
}

/// `PUT /maintenance/recovery-speed`
pub(super) async fn set_recovery_speed(
    State(croit): State<Croit>,
    asker: Asker,
    parameters: Parameters,
    Json(body): Json<RecoverySpeedBody>,
) -> Result<Response> {
    change(&croit, &asker, &parameters, CephSetting::RecoverySpeed { speed: body.speed }).await
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FullRatiosBody {
    nearfull_ratio: Option<f64>,
    backfillfull_ratio: Option<f64>,
    full_ratio: Option<f64>,
}

/// `GET /maintenance/osd-full-ratios`
pub(super) async fn full_ratios(State(croit): State<Croit>, parameters: Parameters) -> Result<Response> {
    let FullRatios { nearfull, backfillfull, full } = settings(&croit, &parameters)?.full_ratios;
    let shown = json!({
        "nearfullRatio": ratio(nearfull), "backfillfullRatio": ratio(backfillfull), "fullRatio": ratio(full),
    });
    Ok(Answer(shown).into_response())
}

/// `PATCH /maintenance/osd-full-ratios`
pub(super) async fn set_full_ratios(
    State(croit): State<Croit>,
    asker: Asker,
    parameters: Parameters,
    Json(body): Json<FullRatiosBody>,
) -> Result<Response> {
    let ratios = FullRatios {
        nearfull: of_ratio("nearfullRatio", body.nearfull_ratio)?,
        backfillfull: of_ratio("backfillfullRatio", body.backfillfull_ratio)?,
        full: of_ratio("fullRatio", body.full_ratio)?,
    };
    change(&croit, &asker, &parameters, CephSetting::FullRatios(ratios)).await
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MaxMdsBody {
    filesystem: Option<String>,
    max_mds: u32,
}

/// `GET /maintenance/max-mds`
pub(super) async fn max_mds(State(croit): State<Croit>, parameters: Parameters) -> Result<Response> {
    let all = settings(&croit, &parameters)?.filesystems;
    let shown: Vec<Value> =
        all.iter().map(|(name, own)| json!({ "filesystem": name, "maxMds": own.max_mds })).collect();
    Ok(Answer(shown).into_response())
}

/// `PUT /maintenance/max-mds`
pub(super) async fn set_max_mds(
    State(croit): State<Croit>,
    asker: Asker,
    parameters: Parameters,
    Json(body): Json<MaxMdsBody>,
) -> Result<Response> {
    let filesystem = filesystem(&settings(&croit, &parameters)?, body.filesystem)?;
    change(&croit, &asker, &parameters, CephSetting::MaxMds { filesystem, max: body.max_mds }).await
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StandbyReplayBody {
    filesystem: Option<String>,
    allow_standby_replay: bool,
}

/// `GET /maintenance/allow-standby-replay`
pub(super) async fn standby_replay(State(croit): State<Croit>, parameters: Parameters) -> Result<Response> {
    let all = settings(&croit, &parameters)?.filesystems;
    let shown = |(name, own): (&String, &hostler_common::cluster::FilesystemSettings)| json!({ "filesystem": name, "allowStandbyReplay": own.allow_standby_replay });
    Ok(Answer(all.iter().map(shown).collect::<Vec<Value>>()).into_response())
}

/// `PUT /maintenance/allow-standby-replay`
pub(super) async fn set_standby_replay(
    State(croit): State<Croit>,
    asker: Asker,
    parameters: Parameters,
    Json(body): Json<StandbyReplayBody>,
) -> Result<Response> {
    let filesystem = filesystem(&settings(&croit, &parameters)?, body.filesystem)?;
    let setting = CephSetting::AllowStandbyReplay { filesystem, allow: body.allow_standby_replay };
    change(&croit, &asker, &parameters, setting).await
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MinCompatClientBody {
    min_compat_client: String,
}

/// `GET /maintenance/min-compat-client`
pub(super) async fn min_compat_client(State(croit): State<Croit>, parameters: Parameters) -> Result<Response> {
    let release = settings(&croit, &parameters)?.min_compat_client;
    Ok(Answer(json!({ "minCompatClient": Some(release).filter(|name| !name.is_empty()) })).into_response())
}

/// `PUT /maintenance/min-compat-client`
pub(super) async fn set_min_compat_client(
    State(croit): State<Croit>,
    asker: Asker,
    parameters: Parameters,
    Json(body): Json<MinCompatClientBody>,
) -> Result<Response> {
    let setting = CephSetting::MinCompatClient { release: body.min_compat_client };
    change(&croit, &asker, &parameters, setting).await
}

/// `POST /maintenance/osd/{id}/scrub` and `/deep-scrub`
pub(super) async fn scrub(
    State(croit): State<Croit>,
    asker: Asker,
    Path((osd, how)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<Response> {
    let deep = match how.as_str() {
        "scrub" => false,
        "deep-scrub" => true,
        _ => return Err(Error::not_found("an OSD can be scrubbed and deep-scrubbed")),
    };
    let osd = osd.parse().map_err(|_| Error::not_found("there is no such OSD"))?;
    let (host, _) = cluster(&croit, parameters.get("cluster"))?;
    made(&croit, &asker, host, Step::CephScrub(CephScrub { osd, deep })).await?;
    Ok(empty(StatusCode::CREATED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_go_to_the_wire_and_back() {
        for value in [0.85, 0.9, 0.949_999_988_079_071, 1.0] {
            let stored = of_ratio("x", Some(value)).unwrap();
            assert!((ratio(stored).unwrap() - value).abs() < 0.000_05, "{value}");
        }
        for bad in [0.0, -0.1, 1.01, f64::NAN] {
            assert!(of_ratio("x", Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_only_file_system_need_not_be_named() {
        let of = |names: &[&str]| Settings {
            filesystems: names.iter().map(|name| ((*name).to_owned(), Default::default())).collect(),
            ..Settings::default()
        };
        assert_eq!(filesystem(&of(&["a"]), None).unwrap(), "a");
        assert_eq!(filesystem(&of(&["a", "b"]), Some("b".into())).unwrap(), "b");
        for (names, named) in [(&["a", "b"][..], None), (&["a"], Some("c")), (&[], None)] {
            assert!(filesystem(&of(names), named.map(str::to_owned)).is_err(), "{names:?} {named:?}");
        }
    }
}
