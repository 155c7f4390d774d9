//! One admin command of NVMe: Get Log Page.

use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use nix::libc;

/// `_IOWR('N', 0x41, struct nvme_passthru_cmd)`.
const ADMIN_COMMAND: libc::c_ulong = 0xC048_4E41;
const GET_LOG_PAGE: u8 = 0x02;
const HEALTH_PAGE: u32 = 0x02;
const ALL_NAMESPACES: u32 = 0xFFFF_FFFF;
const DEADLINE_MS: u32 = 1_500;
/// Size of the health page, in bytes.
pub const HEALTH_LEN: usize = 512;

#[repr(C)]
#[derive(Default)]
struct Command {
    opcode: u8,
    flags: u8,
    reserved: u16,
    namespace: u32,
    cdw2: u32,
    cdw3: u32,
    metadata: u64,
    address: u64,
    metadata_len: u32,
    data_len: u32,
    cdw10: u32,
    cdw11: u32,
    cdw12: u32,
    cdw13: u32,
    cdw14: u32,
    cdw15: u32,
    timeout_ms: u32,
    result: u32,
}

/// Reads the health log page (02h) of a controller through its character device.
///
/// # Errors
/// "Permission denied" without CAP_SYS_ADMIN; the NVMe status as "other" if the controller refuses.
#[allow(unsafe_code)]
pub fn health_page(controller: &Path) -> io::Result<Vec<u8>> {
    let device = super::open_device(controller)?;
    let mut page = vec![0_u8; HEALTH_LEN];
    let dwords = (HEALTH_LEN / 4 - 1) as u32;
    let mut command = Command {
        opcode: GET_LOG_PAGE,
        namespace: ALL_NAMESPACES,
        address: page.as_mut_ptr() as u64,
        data_len: HEALTH_LEN as u32,
        cdw10: HEALTH_PAGE | dwords << 16,
        timeout_ms: DEADLINE_MS,
        ..Command::default()
    };
    // SAFETY: `Command` has the layout of `nvme_passthru_cmd` (72 bytes, which the request number encodes); the kernel
    // writes at most `data_len` bytes to `page`, which is that long and outlives the call.
    let status = super::checked(unsafe { libc::ioctl(device.as_raw_fd(), ADMIN_COMMAND as _, &raw mut command) })?;
    if status == 0 { Ok(page) } else { Err(io::Error::other(format!("NVMe status {status:#x}"))) }
}

const _: () = assert!(std::mem::size_of::<Command>() == 72);
