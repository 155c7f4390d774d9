//! SCSI commands that only read, through SG_IO: power state, SMART of ATA disks, log pages of SCSI disks.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use nix::libc;

const SG_IO: libc::c_ulong = 0x2285;
const FROM_DEVICE: libc::c_int = -3;
const NO_DATA: libc::c_int = -1;
const DEADLINE_MS: u32 = 1_500;
const SENSE_LEN: usize = 32;
const ATA_PASS_THROUGH_16: u8 = 0x85;
const LOG_SENSE: u8 = 0x4D;
const REQUEST_SENSE: u8 = 0x03;

#[repr(C)]
struct Header {
    interface_id: libc::c_int,
    direction: libc::c_int,
    command_len: u8,
    sense_max: u8,
    iovec_count: u16,
    data_len: u32,
    data: *mut libc::c_void,
    command: *const u8,
    sense: *mut u8,
    timeout_ms: u32,
    flags: u32,
    pack_id: libc::c_int,
    user: *mut libc::c_void,
    status: u8,
    masked_status: u8,
    message_status: u8,
    sense_written: u8,
    host_status: u16,
    driver_status: u16,
    residual: libc::c_int,
    duration_ms: u32,
    info: u32,
}

/// What a disk says about its motor. No answer wakes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    /// Ready, or a device that never sleeps.
    Active,
    /// Would have to spin up to answer.
    Standby,
}

/// An opened SCSI or ATA disk.
#[derive(Debug)]
pub struct Disk(File);

impl Disk {
    /// Opens a disk for reading.
    ///
    /// # Errors
    /// Those of `open(2)`.
    pub fn open(path: &Path) -> io::Result<Self> {
        super::open_device(path).map(Self)
    }

    /// Asks an ATA disk for its power mode (CHECK POWER MODE, which does not wake it).
    ///
    /// # Errors
    /// "Permission denied" without CAP_SYS_RAWIO; "unsupported" from devices that are not SCSI.
    pub fn ata_power(&self) -> io::Result<Power> {
        // Protocol 3 (no data), CK_COND so that the registers come back as sense data.
        let sense = self.run(&ata_command(3, 0x20, 0, 0, 0, 0xE5), &mut [])?.1;
        Ok(match registers(&sense) {
            Some((count, _, _)) if count == 0x00 || count == 0x01 => Power::Standby,
            _ => Power::Active,
        })
    }

    /// Asks a SCSI disk for its power state by its pending sense data (REQUEST SENSE, which does not wake it).
    ///
    /// # Errors
    /// As for [`Disk::ata_power`].
    pub fn scsi_power(&self) -> io::Result<Power> {
        let mut answer = [0_u8; 32];
        self.run(&[REQUEST_SENSE, 0, 0, 0, answer.len() as u8, 0], &mut answer)?;
        // ASC 5Eh, ASCQ 02h/04h/43h: standby by timer, by command, or now entering it.
        let standby = answer[12] == 0x5E && matches!(answer[13], 0x02 | 0x04 | 0x43);
        Ok(if standby { Power::Standby } else { Power::Active })
    }

    /// The 512 bytes of SMART READ DATA.
    ///
    /// # Errors
    /// As for [`Disk::ata_power`]; "other" if the disk refuses.
    pub fn ata_smart(&self) -> io::Result<Vec<u8>> {
        let mut page = vec![0_u8; 512];
        // Protocol 4 (PIO in); T_DIR, BYT_BLOK, length in the count field.
        let (status, _) = self.run(&ata_command(4, 0x0E, 0xD0, 1, 0, 0xB0), &mut page)?;
        if status == 0 { Ok(page) } else { Err(io::Error::other("the disk refused SMART READ DATA")) }
    }

    /// Whether an ATA disk predicts its own failure (SMART RETURN STATUS); `None` if the answer did not come through.
    ///
    /// # Errors
    /// As for [`Disk::ata_power`].
    pub fn ata_failing(&self) -> io::Result<Option<bool>> {
        let sense = self.run(&ata_command(3, 0x20, 0xDA, 0, 0, 0xB0), &mut [])?.1;
        Ok(match registers(&sense) {
            Some((_, 0x4F, 0xC2)) => Some(false),
            Some((_, 0xF4, 0x2C)) => Some(true),
            _ => None,
        })
    }

    /// A log page of a SCSI disk, cumulative values.
    ///
    /// # Errors
    /// As for [`Disk::ata_power`]; "other" if the disk does not have the page.
    pub fn log_page(&self, page: u8) -> io::Result<Vec<u8>> {
        let mut answer = vec![0_u8; 1024];
        let command = [LOG_SENSE, 0, 0x40 | (page & 0x3F), 0, 0, 0, 0, 0x04, 0x00, 0];
        let (status, _) = self.run(&command, &mut answer)?;
        if status != 0 || answer[0] & 0x3F != page & 0x3F {
            return Err(io::Error::other(format!("no log page {page:#04x}")));
        }
        let len = usize::from(u16::from_be_bytes([answer[2], answer[3]])) + 4;
        answer.truncate(len);
        Ok(answer)
    }

    /// Runs one command; returns the SCSI status and the sense data.
    #[allow(unsafe_code)]
    fn run(&self, command: &[u8], data: &mut [u8]) -> io::Result<(u8, Vec<u8>)> {
        let mut sense = vec![0_u8; SENSE_LEN];
        let mut header = Header {
            interface_id: libc::c_int::from(b'S'),
            direction: if data.is_empty() { NO_DATA } else { FROM_DEVICE },
            command_len: command.len() as u8,
            sense_max: SENSE_LEN as u8,
            iovec_count: 0,
            data_len: data.len() as u32,
            data: data.as_mut_ptr().cast(),
            command: command.as_ptr(),
            sense: sense.as_mut_ptr(),
            timeout_ms: DEADLINE_MS,
            flags: 0,
            pack_id: 0,
            user: std::ptr::null_mut(),
            status: 0,
            masked_status: 0,
            message_status: 0,
            sense_written: 0,
            host_status: 0,
            driver_status: 0,
            residual: 0,
            duration_ms: 0,
            info: 0,
        };
        // SAFETY: `Header` has the layout of `sg_io_hdr`; the pointers and lengths in it describe `command`, `data` and
        // `sense`, which outlive this synchronous call. All commands of this file transfer from the device or nothing.
        super::checked(unsafe { libc::ioctl(self.0.as_raw_fd(), SG_IO as _, &raw mut header) })?;
        if header.host_status != 0 {
            return Err(io::Error::other(format!("host status {:#x}", header.host_status)));
        }
        sense.truncate(usize::from(header.sense_written));
        Ok((header.status, sense))
    }
}

/// ATA PASS-THROUGH (16) with the SMART signature in the LBA registers, which the other commands ignore.
fn ata_command(protocol: u8, transfer: u8, feature: u8, count: u8, lba_low: u8, command: u8) -> [u8; 16] {
    let mut bytes = [0_u8; 16];
    bytes[0] = ATA_PASS_THROUGH_16;
    bytes[1] = protocol << 1;
    bytes[2] = transfer;
    bytes[4] = feature;
    bytes[6] = count;
    bytes[8] = lba_low;
    if command == 0xB0 {
        bytes[10] = 0x4F;
        bytes[12] = 0xC2;
    }
    bytes[14] = command;
    bytes
}

/// Sector count, LBA mid and LBA high out of the ATA status descriptor in descriptor-format sense data.
fn registers(sense: &[u8]) -> Option<(u8, u8, u8)> {
    let descriptor = sense.get(8..22)?;
    (matches!(sense[0] & 0x7F, 0x72 | 0x73) && descriptor[0] == 0x09)
        .then(|| (descriptor[5], descriptor[9], descriptor[11]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_come_from_the_right_bytes() {
        let mut sense = vec![0_u8; 22];
        sense[0] = 0x72;
        sense[8] = 0x09;
        sense[13] = 0xFF;
        sense[17] = 0x4F;
        sense[19] = 0xC2;
        assert_eq!(registers(&sense), Some((0xFF, 0x4F, 0xC2)));
        assert_eq!(registers(&sense[..20]), None);
        sense[0] = 0x70;
        assert_eq!(registers(&sense), None);
    }
}
