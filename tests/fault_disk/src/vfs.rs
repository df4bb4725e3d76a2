//! SQLite's file system interface, between SQLite and the operating system's own.
//!
//! Promise: every call is handed on to the file system that SQLite had before, unless the file is on a [`Machine`]'s disk
//! and the machine is down or the step is refused. This is the one file with unsafe code: SQLite's interface is made of
//! raw pointers, and each block says why its pointers are good.
//!
//! [`Machine`]: crate::machine::Machine
#![expect(unsafe_code, reason = "SQLite's file system interface is made of raw pointers")]

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use rusqlite::ffi;

use crate::machine::{self, Machine, Refusal};

/// What SQLite holds of an open file; the real file system's own follows right behind it.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    watched: *mut Watched,
}

/// A file on a machine's disk.
struct Watched {
    machine: Arc<Machine>,
    start: u64,
    path: PathBuf,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Puts this file system before SQLite's own, once.
pub(crate) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the default file system lives as long as the process. The copy and its name are leaked, so SQLite may
        // keep them for ever; the functions put in have the types that SQLite declares.
        let outcome = unsafe {
            ffi::sqlite3_initialize();
            let real = ffi::sqlite3_vfs_find(std::ptr::null());
            assert!(!real.is_null(), "SQLite has a file system");
            let mut vfs = *real;
            vfs.szOsFile += c_int::try_from(size_of::<File>()).unwrap_or(0);
            vfs.pNext = std::ptr::null_mut();
            vfs.zName = c"fault-disk".as_ptr();
            vfs.pAppData = real.cast();
            vfs.xOpen = Some(open);
            vfs.xDelete = Some(delete);
            ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), 1)
        };
        assert_eq!(outcome, ffi::SQLITE_OK, "SQLite takes a file system");
    });
}

/// The real file system's own part of `file`.
///
/// # Safety
/// `file` was opened by [`open`], so SQLite gave room for both.
unsafe fn real_of(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: szOsFile has room for a `File` and, behind it, for what the real file system needs.
    unsafe { file.cast::<u8>().add(size_of::<File>()).cast() }
}

/// The machine's side of `file`, if it is on a machine's disk.
///
/// # Safety
/// As for [`real_of`].
unsafe fn watched<'f>(file: *mut ffi::sqlite3_file) -> Option<&'f Watched> {
    // SAFETY: `open` put a leaked box or null there, and only `close` takes it away.
    unsafe { (*file.cast::<File>()).watched.as_ref() }
}

/// Calls the real file system's method of this name on `file`.
macro_rules! real {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        // SAFETY: SQLite calls only on files that `open` opened, and the real part was opened by the real file system,
        // which set all methods of its version, at least 2 on Unix; the arguments are handed on as they came.
        unsafe {
            let real = real_of($file);
            ((*(*real).pMethods).$method).map(|method| method(real $(, $argument)*))
        }
    }};
}

/// What SQLite is told. A machine that is down says that its disk is full, never that it failed: a program takes a failing
/// disk for a reason to set its file aside, and would do so with calls that do not come by here.
const fn code(refusal: Refusal) -> c_int {
    match refusal {
        Refusal::PowerGoes | Refusal::Down | Refusal::Full => ffi::SQLITE_FULL,
        Refusal::Broken => ffi::SQLITE_IOERR_WRITE,
    }
}

fn path_of(name: *const c_char) -> Option<PathBuf> {
    if name.is_null() {
        return None;
    }
    // SAFETY: SQLite gives names that end in a zero byte and last as long as the call.
    let name = unsafe { CStr::from_ptr(name) };
    Some(Path::new(OsStr::from_bytes(name.to_bytes())).to_owned())
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let ours = file.cast::<File>();
    // SAFETY: SQLite gives szOsFile bytes for the file, of which the first are ours; no methods means: do not close.
    unsafe {
        (*ours).base.pMethods = std::ptr::null();
        (*ours).watched = std::ptr::null_mut();
    }
    let watched = match path_of(name).and_then(|path| Some((machine::find(&path)?, path))) {
        None => None,
        Some((machine, path)) => match machine.open() {
            Ok(start) => Some(Watched { machine, start, path }),
            Err(refusal) => return code(refusal),
        },
    };
    // SAFETY: pAppData is the real file system, see `register`; its part of the file lies behind ours.
    unsafe {
        let real_vfs = (*vfs).pAppData.cast::<ffi::sqlite3_vfs>();
        let real = real_of(file);
        (*real).pMethods = std::ptr::null();
        let outcome =
            ((*real_vfs).xOpen).map_or(ffi::SQLITE_CANTOPEN, |open| open(real_vfs, name, real, flags, out_flags));
        if !(*real).pMethods.is_null() {
            (*ours).base.pMethods = &raw const METHODS;
            (*ours).watched = watched.map_or(std::ptr::null_mut(), |watched| Box::into_raw(Box::new(watched)));
        }
        outcome
    }
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    let on_disk = path_of(name).and_then(|path| Some((machine::find(&path)?, path)));
    if let Some((machine, path)) = &on_disk {
        if let Err(refusal) = machine.open().and_then(|start| machine.step(start)) {
            return code(refusal);
        }
        machine.note_deletion(path);
    }
    // SAFETY: pAppData is the real file system, see `register`. Nothing is really synced on a machine's disk.
    unsafe {
        let real = (*vfs).pAppData.cast::<ffi::sqlite3_vfs>();
        let sync_folder = if on_disk.is_some() { 0 } else { sync_folder };
        ((*real).xDelete).map_or(ffi::SQLITE_IOERR_DELETE, |delete| delete(real, name, sync_folder))
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let outcome = real!(file, xClose).unwrap_or(ffi::SQLITE_OK);
    // SAFETY: `open` put a leaked box or null there; SQLite closes a file once.
    unsafe {
        let ours = file.cast::<File>();
        if !(*ours).watched.is_null() {
            drop(Box::from_raw((*ours).watched));
        }
        (*ours).watched = std::ptr::null_mut();
        (*ours).base.pMethods = std::ptr::null();
    }
    outcome
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, into: *mut c_void, amount: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite calls on files that `open` opened.
    if unsafe { watched(file) }.is_some_and(|watched| !watched.machine.is_alive(watched.start)) {
        return code(Refusal::Down);
    }
    real!(file, xRead, into, amount, offset).unwrap_or(ffi::SQLITE_IOERR_READ)
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, amount: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite calls on files that `open` opened.
    let Some(watched) = (unsafe { watched(file) }) else {
        return real!(file, xWrite, from, amount, offset).unwrap_or(ffi::SQLITE_IOERR_WRITE);
    };
    if let Err(refusal) = watched.machine.step(watched.start) {
        if refusal == Refusal::PowerGoes {
            // It may still reach the disk, in part.
            write_through(file, watched, from, amount, offset);
        }
        return code(refusal);
    }
    write_through(file, watched, from, amount, offset)
}

fn write_through(
    file: *mut ffi::sqlite3_file,
    watched: &Watched,
    from: *const c_void,
    amount: c_int,
    offset: i64,
) -> c_int {
    let length = length_of(file);
    let end = offset + i64::from(amount);
    let before = bytes_of(file, offset, (length.min(end) - offset).max(0));
    let outcome = real!(file, xWrite, from, amount, offset).unwrap_or(ffi::SQLITE_IOERR_WRITE);
    if outcome == ffi::SQLITE_OK {
        // SAFETY: SQLite gives `amount` readable bytes.
        let written = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), usize::try_from(amount).unwrap_or(0)) };
        watched.machine.note_write(&watched.path, count(offset), before, count(length), written.to_vec());
    }
    outcome
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: SQLite calls on files that `open` opened.
    if let Some(watched) = unsafe { watched(file) } {
        if let Err(refusal) = watched.machine.step(watched.start) {
            return code(refusal);
        }
        let length = length_of(file);
        if size < length {
            watched.machine.note_cut(&watched.path, bytes_of(file, size, length - size), count(size));
        }
    }
    real!(file, xTruncate, size).unwrap_or(ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: SQLite calls on files that `open` opened.
    let Some(watched) = (unsafe { watched(file) }) else {
        return real!(file, xSync, flags).unwrap_or(ffi::SQLITE_IOERR_FSYNC);
    };
    match watched.machine.step(watched.start) {
        Ok(()) => {
            watched.machine.note_sync(&watched.path);
            ffi::SQLITE_OK
        }
        Err(Refusal::Broken) => ffi::SQLITE_IOERR_FSYNC,
        Err(refusal) => code(refusal),
    }
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    real!(file, xFileSize, size).unwrap_or(ffi::SQLITE_IOERR_FSTAT)
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    real!(file, xLock, level).unwrap_or(ffi::SQLITE_IOERR_LOCK)
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    real!(file, xUnlock, level).unwrap_or(ffi::SQLITE_IOERR_UNLOCK)
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, reserved: *mut c_int) -> c_int {
    real!(file, xCheckReservedLock, reserved).unwrap_or(ffi::SQLITE_IOERR_CHECKRESERVEDLOCK)
}

unsafe extern "C" fn file_control(file: *mut ffi::sqlite3_file, what: c_int, argument: *mut c_void) -> c_int {
    real!(file, xFileControl, what, argument).unwrap_or(ffi::SQLITE_NOTFOUND)
}

unsafe extern "C" fn sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    real!(file, xSectorSize).unwrap_or(0)
}

unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    real!(file, xDeviceCharacteristics).unwrap_or(0)
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    page: c_int,
    size: c_int,
    extend: c_int,
    mapped: *mut *mut c_void,
) -> c_int {
    real!(file, xShmMap, page, size, extend, mapped).unwrap_or(ffi::SQLITE_IOERR_SHMMAP)
}

unsafe extern "C" fn shm_lock(file: *mut ffi::sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    real!(file, xShmLock, offset, count, flags).unwrap_or(ffi::SQLITE_IOERR_SHMLOCK)
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    real!(file, xShmBarrier);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    real!(file, xShmUnmap, delete).unwrap_or(ffi::SQLITE_OK)
}

/// Bytes in the real file.
fn length_of(file: *mut ffi::sqlite3_file) -> i64 {
    let mut length = 0;
    real!(file, xFileSize, &raw mut length);
    length
}

/// `amount` bytes of the real file from `offset`.
fn bytes_of(file: *mut ffi::sqlite3_file, offset: i64, amount: i64) -> Vec<u8> {
    let mut bytes = vec![0_u8; usize::try_from(amount).unwrap_or(0)];
    if let Ok(amount @ 1..) = c_int::try_from(amount) {
        real!(file, xRead, bytes.as_mut_ptr().cast(), amount, offset);
    }
    bytes
}

fn count(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}
