//! What built-in plug-ins are told.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::policy::Gate;
use super::builtin::canonical;

/// What a built-in plug-in is told.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Params {
    /// `dummy`.
    Dummy,
    /// `script`.
    Script(ScriptParams),
    /// `reboot`: whether in its place rather than after all plug-ins, and why.
    Reboot(RebootParams),
    /// `packages`.
    Packages(hostler_common::step::maintenance::Packages),
    /// `service`.
    Service(hostler_common::step::UnitChange),
    /// `fetch`.
    Fetch(hostler_common::step::maintenance::Fetch),
    /// `ceph_noout`.
    CephNoout,
    /// `ceph_ok_to_stop`.
    CephOkToStop,
    /// `ceph_stop`.
    CephStop,
    /// `ceph_start`.
    CephStart,
    /// `ceph_wait_healthy`.
    CephWaitHealthy,
    /// `drain`: whether the OSDs stay out.
    Drain(bool),
    /// `wait`.
    Wait(WaitParams),
    /// `gate`.
    Gate(Gate),
    /// `kernel_check`: how the kernel's release begins.
    Kernel(String),
}

/// See [`Params::Script`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct ScriptParams {
    /// Its name in the library.
    pub script: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// More of its environment.
    #[serde(default)]
    pub env: std::collections::BTreeMap<String, String>,
}

/// See [`Params::Reboot`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct RebootParams {
    /// Whether it boots in its place among the plug-ins.
    #[serde(default)]
    pub now: bool,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// See [`Params::Wait`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct WaitParams {
    /// For how long; without it somebody has to approve.
    #[serde(default)]
    pub seconds: Option<u32>,
    /// For how long an approval is awaited; what gates may take if it is not given.
    #[serde(default)]
    pub timeout_s: Option<u32>,
    /// What is to be approved.
    #[serde(default)]
    pub message: Option<String>,
}

#[derive(Deserialize)]
struct ServiceParams {
    unit: String,
    #[serde(default)]
    action: Option<hostler_common::step::UnitAction>,
}

#[derive(Deserialize)]
struct FetchParams {
    sha256: String,
    size: u64,
    path: String,
    #[serde(default)]
    mode: Option<String>,
}

#[derive(Deserialize)]
struct DrainParams {
    #[serde(default)]
    keep: bool,
}

#[derive(Deserialize)]
struct KernelParams {
    kernel: String,
}

impl Params {
    /// Reads what a built-in plug-in is told.
    pub(super) fn read(plugin: &str, metadata: &Map<String, Value>) -> Result<Self, String> {
        let name = canonical(plugin).ok_or_else(|| format!("there is no plug-in {plugin}"))?;
        let wrong = |error: serde_json::Error| format!("plug-in {name}: {error}");
        let all = Value::Object(metadata.clone());
        Ok(match name {
            "dummy" => Self::Dummy,
            "script" => {
                let params: ScriptParams = serde_json::from_value(all).map_err(wrong)?;
                hostler_common::script::check_args(&params.args).map_err(|fault| format!("plug-in {name}: {fault}"))?;
                hostler_common::script::check_env(&params.env).map_err(|fault| format!("plug-in {name}: {fault}"))?;
                Self::Script(params)
            }
            "reboot" => Self::Reboot(serde_json::from_value(all).map_err(wrong)?),
            "packages" => Self::Packages(serde_json::from_value(all).map_err(wrong)?),
            "service" => {
                let params: ServiceParams = serde_json::from_value(all).map_err(wrong)?;
                let action = params.action.unwrap_or(hostler_common::step::UnitAction::Restart);
                Self::Service(hostler_common::step::UnitChange { unit: params.unit, action })
            }
            "fetch" => {
                let params: FetchParams = serde_json::from_value(all).map_err(wrong)?;
                let mode = params.mode.as_deref().unwrap_or("0644");
                let mode =
                    u32::from_str_radix(mode, 8).map_err(|_| format!("plug-in {name}: mode is no octal number"))?;
                let FetchParams { sha256, size, path, .. } = params;
                Self::Fetch(hostler_common::step::maintenance::Fetch { sha256, size, path, mode })
            }
            "ceph_noout" => Self::CephNoout,
            "ceph_ok_to_stop" => Self::CephOkToStop,
            "ceph_stop" => Self::CephStop,
            "ceph_start" => Self::CephStart,
            "ceph_wait_healthy" => Self::CephWaitHealthy,
            "drain" => Self::Drain(serde_json::from_value::<DrainParams>(all).map_err(wrong)?.keep),
            "wait" => Self::Wait(serde_json::from_value(all).map_err(wrong)?),
            "gate" => {
                let gate: Gate = serde_json::from_value(all).map_err(wrong)?;
                gate.check().map_err(|rule| format!("plug-in {name}: the gate {rule}"))?;
                Self::Gate(gate)
            }
            _ => Self::Kernel(serde_json::from_value::<KernelParams>(all).map_err(wrong)?.kernel),
        })
    }
}
