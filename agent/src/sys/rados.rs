//! The ten calls of librados that we make, from the library as it is found at run time.
//!
//! Every call blocks. Errors are numbers as in errno(3), positive.

use std::ffi::{CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use libloading::Symbol;
use nix::libc;

/// Called for each line of the cluster's log.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

type Handle = *mut c_void;
type Create = unsafe extern "C" fn(*mut Handle, *const c_char, *const c_char, u64) -> c_int;
type ReadConf = unsafe extern "C" fn(Handle, *const c_char) -> c_int;
type Set = unsafe extern "C" fn(Handle, *const c_char, *const c_char) -> c_int;
type OnHandle = unsafe extern "C" fn(Handle) -> c_int;
type Shutdown = unsafe extern "C" fn(Handle);
type Command = unsafe extern "C" fn(
    Handle,
    *mut *const c_char,
    usize,
    *const c_char,
    usize,
    *mut *mut c_char,
    *mut usize,
    *mut *mut c_char,
    *mut usize,
) -> c_int;
type Free = unsafe extern "C" fn(*mut c_char);
type Line = unsafe extern "C" fn(
    *mut c_void,
    *const c_char,
    *const c_char,
    *const c_char,
    *const c_char,
    u64,
    u64,
    u64,
    *const c_char,
    *const c_char,
);
type Monitor = unsafe extern "C" fn(Handle, *const c_char, Option<Line>, *mut c_void) -> c_int;

/// The name under which every release since 2006 is found.
const NAME: &str = "librados.so.2";

/// The library.
#[derive(Debug)]
pub struct Library {
    create: Create,
    read_conf: ReadConf,
    parse_env: ReadConf,
    set: Set,
    connect: OnHandle,
    shutdown: Shutdown,
    command: Command,
    free: Free,
    monitor: Monitor,
    /// Keeps the code in memory for as long as the pointers above are used.
    _library: libloading::Library,
}

impl Library {
    /// Opens it.
    ///
    /// # Errors
    /// It is not installed, or lacks a call.
    #[allow(unsafe_code)]
    pub fn open() -> Result<Self, String> {
        // SAFETY: the initialisers of librados have no preconditions.
        let library = unsafe { libloading::Library::new(NAME) }.map_err(|error| error.to_string())?;
        // SAFETY: the types are those of rados/librados.h; the pointers live no longer than `_library`.
        unsafe {
            Ok(Self {
                create: symbol(&library, "rados_create2")?,
                read_conf: symbol(&library, "rados_conf_read_file")?,
                parse_env: symbol(&library, "rados_conf_parse_env")?,
                set: symbol(&library, "rados_conf_set")?,
                connect: symbol(&library, "rados_connect")?,
                shutdown: symbol(&library, "rados_shutdown")?,
                command: symbol(&library, "rados_mon_command")?,
                free: symbol(&library, "rados_buffer_free")?,
                monitor: symbol(&library, "rados_monitor_log2")?,
                _library: library,
            })
        }
    }
}

/// # Safety
/// `T` must be the type of the function of that name.
#[allow(unsafe_code)]
unsafe fn symbol<T: Copy>(library: &libloading::Library, name: &str) -> Result<T, String> {
    // SAFETY: by the contract of this function.
    let found: Result<Symbol<'_, T>, _> = unsafe { library.get(name.as_bytes()) };
    found.map(|symbol| *symbol).map_err(|error| error.to_string())
}

/// A handle of a cluster.
pub struct Cluster {
    library: Arc<Library>,
    handle: Handle,
    /// What the log calls; lives until the library has let go of it.
    wake: Option<Box<Wake>>,
}

// SAFETY: librados allows each handle to be used on any thread.
#[allow(unsafe_code)]
unsafe impl Send for Cluster {}

fn done(code: c_int) -> Result<(), i32> {
    if code < 0 { Err(-code) } else { Ok(()) }
}

fn text(text: &[u8]) -> Result<CString, i32> {
    CString::new(text).map_err(|_| libc::EINVAL)
}

impl Cluster {
    /// A handle for a user such as `client.admin`; nothing is read or connected yet.
    ///
    /// # Errors
    /// Those of `rados_create2`.
    #[allow(unsafe_code)]
    pub fn new(library: Arc<Library>, user: &str) -> Result<Self, i32> {
        let (cluster, user) = (c"ceph", text(user.as_bytes())?);
        let mut handle = ptr::null_mut();
        // SAFETY: both texts end with NUL and outlive the call; the handle is written only on success.
        done(unsafe { (library.create)(&raw mut handle, cluster.as_ptr(), user.as_ptr(), 0) })?;
        Ok(Self { library, handle, wake: None })
    }

    /// Reads a configuration file, then `CEPH_ARGS`.
    ///
    /// # Errors
    /// Those of `rados_conf_read_file`: 2 if there is no such file.
    #[allow(unsafe_code)]
    pub fn read_conf(&mut self, file: &Path) -> Result<(), i32> {
        let file = text(file.as_os_str().as_bytes())?;
        // SAFETY: the handle is live; the text ends with NUL and outlives the call.
        done(unsafe { (self.library.read_conf)(self.handle, file.as_ptr()) })?;
        // SAFETY: the handle is live; a null pointer means the usual variable.
        done(unsafe { (self.library.parse_env)(self.handle, ptr::null()) })
    }

    /// Sets an option.
    ///
    /// # Errors
    /// Those of `rados_conf_set`.
    #[allow(unsafe_code)]
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), i32> {
        let (key, value) = (text(key.as_bytes())?, text(value.as_bytes())?);
        // SAFETY: the handle is live; both texts end with NUL and outlive the call.
        done(unsafe { (self.library.set)(self.handle, key.as_ptr(), value.as_ptr()) })
    }

    /// Connects; blocks for `client_mount_timeout` at most.
    ///
    /// # Errors
    /// Those of `rados_connect`: 110 if no monitor answers.
    #[allow(unsafe_code)]
    pub fn connect(&mut self) -> Result<(), i32> {
        // SAFETY: the handle is live.
        done(unsafe { (self.library.connect)(self.handle) })
    }

    /// Calls `wake` for each line of the cluster's log from now on.
    ///
    /// # Errors
    /// Those of `rados_monitor_log2`.
    #[allow(unsafe_code)]
    pub fn monitor(&mut self, wake: Wake) -> Result<(), i32> {
        unsafe extern "C" fn line(
            wake: *mut c_void,
            _: *const c_char,
            _: *const c_char,
            _: *const c_char,
            _: *const c_char,
            _: u64,
            _: u64,
            _: u64,
            _: *const c_char,
            _: *const c_char,
        ) {
            // SAFETY: the pointer is that of the box that `Cluster` keeps until after `rados_shutdown`.
            unsafe { (*wake.cast::<Wake>())() };
        }
        let mut kept = Box::new(wake);
        let pointer: *mut Wake = &raw mut *kept;
        self.wake = Some(kept);
        // SAFETY: the handle is live, the text constant; the pointer is valid until the handle is shut down.
        done(unsafe { (self.library.monitor)(self.handle, c"info".as_ptr(), Some(line), pointer.cast()) })
    }

    /// Sends a command to a monitor; blocks for `rados_mon_op_timeout` at most. Answers with output and status.
    ///
    /// # Errors
    /// The number and the status: 110 if no monitor answers, otherwise that of the command.
    #[allow(unsafe_code)]
    pub fn mon_command(&mut self, command: &str, input: &[u8]) -> Result<(Vec<u8>, String), (i32, String)> {
        let command = text(command.as_bytes()).map_err(|errno| (errno, String::new()))?;
        let mut commands = [command.as_ptr()];
        let (mut output, mut output_len) = (ptr::null_mut(), 0);
        let (mut status, mut status_len) = (ptr::null_mut(), 0);
        // SAFETY: the handle is live; the command ends with NUL, the input has the length that is given, both outlive the
        // call. The buffers that come back are taken over below.
        let (code, output, status) = unsafe {
            let code = (self.library.command)(
                self.handle,
                commands.as_mut_ptr(),
                1,
                input.as_ptr().cast(),
                input.len(),
                &raw mut output,
                &raw mut output_len,
                &raw mut status,
                &raw mut status_len,
            );
            (code, self.take(output, output_len), self.take(status, status_len))
        };
        let status = String::from_utf8_lossy(&status).into_owned();
        done(code).map_err(|errno| (errno, status.clone()))?;
        Ok((output, status))
    }

    /// Copies and frees a buffer of the library.
    ///
    /// # Safety
    /// The pointer is null or a buffer of that length that the library made.
    #[allow(unsafe_code)]
    unsafe fn take(&self, buffer: *mut c_char, len: usize) -> Vec<u8> {
        if buffer.is_null() {
            return Vec::new();
        }
        // SAFETY: by the contract of this function.
        unsafe {
            let bytes = std::slice::from_raw_parts(buffer.cast::<u8>(), len).to_vec();
            (self.library.free)(buffer);
            bytes
        }
    }
}

impl Drop for Cluster {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the handle is live and not used again; no call of the log comes after it.
        unsafe { (self.library.shutdown)(self.handle) };
    }
}
