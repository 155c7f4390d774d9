//! What the kernel's virtualization interface offers.

use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use nix::libc;

const GET_API_VERSION: libc::c_ulong = 0xAE00;
const CHECK_EXTENSION: libc::c_ulong = 0xAE03;
const CAP_NR_VCPUS: libc::c_int = 9;
const CAP_MAX_VCPUS: libc::c_int = 66;
const CAP_MAX_VCPU_ID: libc::c_int = 128;

/// The answers of `/dev/kvm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Kvm {
    /// 12 on every kernel of the last fifteen years; anything else is unusable.
    pub api_version: i32,
    /// Virtual CPUs per guest that the kernel recommends.
    pub recommended_vcpus: i32,
    /// Virtual CPUs per guest that the kernel allows.
    pub max_vcpus: i32,
    /// Largest virtual CPU id.
    pub max_vcpu_id: i32,
}

/// Asks `/dev/kvm` (opened for reading only; no guest is created).
///
/// # Errors
/// "Not found" without KVM, "permission denied".
#[allow(unsafe_code)]
pub fn query(path: &Path) -> io::Result<Kvm> {
    let device = super::open_device(path)?;
    let ask = |request: libc::c_ulong, argument: libc::c_int| {
        // SAFETY: both requests take an integer and write no memory; a file that is not KVM answers ENOTTY.
        super::checked(unsafe { libc::ioctl(device.as_raw_fd(), request as _, argument) })
    };
    Ok(Kvm {
        api_version: ask(GET_API_VERSION, 0)?,
        recommended_vcpus: ask(CHECK_EXTENSION, CAP_NR_VCPUS)?,
        max_vcpus: ask(CHECK_EXTENSION, CAP_MAX_VCPUS)?,
        max_vcpu_id: ask(CHECK_EXTENSION, CAP_MAX_VCPU_ID)?,
    })
}
