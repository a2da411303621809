//! The C side: an `sqlite3_vfs` whose files are a [`Disk`]'s.
//!
//! <https://sqlite.org/vfs.html>. The methods are those of version 1, without shared memory: a log is
//! then only possible with `locking_mode=EXCLUSIVE`. Files in other folders, and what is not about files
//! (time, randomness, sleeping, full path names), are left to the file system that was the default before.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rusqlite::ffi;

use crate::disk::{Disk, FaultKind, Folder, InstallError, Operation, Refusal};

/// What SQLite holds of an open file. It allocates the bytes, knows the first field, and gives them
/// back to each method.
#[repr(C)]
struct OpenFile {
    base: ffi::sqlite3_file,
    handle: *mut Handle,
}

struct Handle {
    file: File,
    path: PathBuf,
    folder: Folder,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(lock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// What the registered file system leads to.
struct Mount {
    disk: &'static Disk,
    /// The default before it.
    before: *mut ffi::sqlite3_vfs,
}

/// Makes `disk` the default.
pub(crate) fn register(disk: &'static Disk) -> Result<(), InstallError> {
    // SAFETY: a null name asks for the default; SQLite initialises itself, and its own file systems
    // live as long as the process. The struct is plain data.
    let (before, vfs) = unsafe {
        let before = ffi::sqlite3_vfs_find(std::ptr::null());
        (before, before.as_ref().copied())
    };
    let mut vfs = vfs.ok_or(InstallError(ffi::SQLITE_ERROR))?;
    // Room for a file of either.
    let size = c_int::try_from(size_of::<OpenFile>()).map_err(|_| InstallError(ffi::SQLITE_ERROR))?;
    vfs.szOsFile = vfs.szOsFile.max(size);
    vfs.pNext = std::ptr::null_mut();
    vfs.zName = c"faulty-disk".as_ptr();
    vfs.pAppData = Box::into_raw(Box::new(Mount { disk, before })).cast();
    vfs.xOpen = Some(open);
    vfs.xDelete = Some(delete);
    vfs.xAccess = Some(access);
    let vfs = Box::leak(Box::new(vfs));
    // SAFETY: `vfs`, its name and its mount live as long as the process.
    match unsafe { ffi::sqlite3_vfs_register(vfs, 1) } {
        ffi::SQLITE_OK => Ok(()),
        code => Err(InstallError(code)),
    }
}

/// # Safety
/// `vfs` is the one that [`register`] made.
unsafe fn mount<'a>(vfs: *mut ffi::sqlite3_vfs) -> &'a Mount {
    // SAFETY: `pAppData` points to a `Mount` that is never freed, and that is shared only.
    unsafe { &*(*vfs).pAppData.cast::<Mount>() }
}

/// # Safety
/// `file` was opened by [`open`] and not yet closed.
unsafe fn handle<'a>(file: *mut ffi::sqlite3_file) -> &'a Handle {
    // SAFETY: `open` put a leaked box there; SQLite uses a file from one thread at a time.
    unsafe { &*(*file.cast::<OpenFile>()).handle }
}

/// # Safety
/// `name` is null or a C string that lives for the call.
unsafe fn path<'a>(name: *const c_char) -> Option<&'a Path> {
    if name.is_null() {
        return None;
    }
    // SAFETY: as the caller promised.
    unsafe { CStr::from_ptr(name) }.to_str().ok().map(Path::new)
}

fn code(refusal: Refusal, or_else: c_int) -> c_int {
    match refusal {
        Refusal::PowerIsOff | Refusal::Fault(FaultKind::Io) => or_else,
        Refusal::Fault(FaultKind::Full) => ffi::SQLITE_FULL,
        Refusal::Fault(FaultKind::ReadOnly) => ffi::SQLITE_READONLY,
    }
}

fn done(result: Result<(), Refusal>, or_else: c_int) -> c_int {
    result.map_or_else(|refusal| code(refusal, or_else), |()| ffi::SQLITE_OK)
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives `szOsFile` writable bytes, aligned for pointers. Without methods it will not
    // call `close`.
    unsafe { (*file).pMethods = std::ptr::null() };
    // SAFETY: called by SQLite with our vfs, and a name that lives for the call.
    let (mount, path) = unsafe { (mount(vfs), path(name)) };
    // A file without a name is temporary; the wallet keeps such things in memory.
    let named = path.and_then(|path| Some((path, mount.disk.folder_of(path)?)));
    let Some((path, folder)) = named else {
        // SAFETY: SQLite's own arguments, and its own file system, for which there is room.
        return unsafe {
            (*mount.before).xOpen.map_or(ffi::SQLITE_CANTOPEN, |open| open(mount.before, name, file, flags, out_flags))
        };
    };
    let create = flags & ffi::SQLITE_OPEN_CREATE != 0;
    let writable = flags & ffi::SQLITE_OPEN_READWRITE != 0;
    if let Err(refusal) = folder.opened(path) {
        return code(refusal, ffi::SQLITE_CANTOPEN);
    }
    let opened = OpenOptions::new().read(true).write(writable).create(create && writable).truncate(false).open(path);
    let Ok(opened) = opened else { return ffi::SQLITE_CANTOPEN };
    let handle = Box::new(Handle { file: opened, path: path.to_owned(), folder });
    // SAFETY: `file` has room for an `OpenFile`, as above; `out_flags` is null or writable.
    unsafe {
        file.cast::<OpenFile>().write(OpenFile {
            base: ffi::sqlite3_file { pMethods: &raw const METHODS },
            handle: Box::into_raw(handle),
        });
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: called by SQLite with our vfs, and a name that lives for the call.
    let (mount, path) = unsafe { (mount(vfs), path(name)) };
    let Some(path) = path else { return ffi::SQLITE_IOERR_DELETE };
    let Some(folder) = mount.disk.folder_of(path) else {
        // SAFETY: as in `open`.
        return unsafe {
            (*mount.before).xDelete.map_or(ffi::SQLITE_IOERR_DELETE, |delete| delete(mount.before, name, sync_folder))
        };
    };
    if !path.exists() {
        return ffi::SQLITE_IOERR_DELETE_NOENT;
    }
    let operation = Operation::Delete { durably: sync_folder != 0 };
    let result = folder.perform(path, &operation, || std::fs::remove_file(path));
    done(result, ffi::SQLITE_IOERR_DELETE)
}

unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    result: *mut c_int,
) -> c_int {
    // SAFETY: called by SQLite with our vfs, and a name that lives for the call.
    let (mount, path) = unsafe { (mount(vfs), path(name)) };
    let Some(path) = path else { return ffi::SQLITE_IOERR_ACCESS };
    let Some(folder) = mount.disk.folder_of(path) else {
        // SAFETY: as in `open`.
        return unsafe {
            (*mount.before).xAccess.map_or(ffi::SQLITE_IOERR_ACCESS, |access| access(mount.before, name, flags, result))
        };
    };
    if let Err(refusal) = folder.check_power() {
        return code(refusal, ffi::SQLITE_IOERR_ACCESS);
    }
    // An empty log is no log, as for SQLite's own file system.
    let is_there = path.metadata().is_ok_and(|found| found.len() > 0 || !path.to_string_lossy().ends_with("-wal"));
    // SAFETY: `result` is writable.
    unsafe { *result = c_int::from(is_there) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: `open` made the box, and SQLite closes a file once.
    drop(unsafe { Box::from_raw((*file.cast::<OpenFile>()).handle) });
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    to: *mut c_void,
    amount: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    let (Ok(amount), Ok(offset)) = (usize::try_from(amount), u64::try_from(offset)) else {
        return ffi::SQLITE_IOERR_READ;
    };
    // SAFETY: an open file, and a buffer of `amount` bytes that SQLite wrote before (it zeroes or has
    // read pages into it), for the length of the call.
    let (handle, to) = unsafe { (handle(file), std::slice::from_raw_parts_mut(to.cast::<u8>(), amount)) };
    if let Err(refusal) = handle.folder.check_power() {
        return code(refusal, ffi::SQLITE_IOERR_READ);
    }
    let mut filled = 0;
    while let Some(rest) = to.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match handle.file.read_at(rest, offset + u64::try_from(filled).unwrap_or_default()) {
            Ok(0) => {
                rest.fill(0);
                return ffi::SQLITE_IOERR_SHORT_READ;
            }
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return ffi::SQLITE_IOERR_READ,
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    amount: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    let (Ok(amount), Ok(offset)) = (usize::try_from(amount), usize::try_from(offset)) else {
        return ffi::SQLITE_IOERR_WRITE;
    };
    // SAFETY: an open file, and `amount` readable bytes for the length of the call.
    let (handle, data) = unsafe { (handle(file), std::slice::from_raw_parts(from.cast::<u8>(), amount)) };
    let at = u64::try_from(offset).unwrap_or_default();
    let operation = Operation::Write { offset, data };
    done(
        handle.folder.perform(&handle.path, &operation, || handle.file.write_all_at(data, at)),
        ffi::SQLITE_IOERR_WRITE,
    )
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    let (Ok(size), Ok(length)) = (usize::try_from(size), u64::try_from(size)) else {
        return ffi::SQLITE_IOERR_TRUNCATE;
    };
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    let really = || handle.file.set_len(length);
    done(handle.folder.perform(&handle.path, &Operation::Resize(size), really), ffi::SQLITE_IOERR_TRUNCATE)
}

/// The medium is the model: the real file need not be synced, which keeps the tests fast.
unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    done(handle.folder.perform(&handle.path, &Operation::Sync, || Ok(())), ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    if let Err(refusal) = handle.folder.check_power() {
        return code(refusal, ffi::SQLITE_IOERR_FSTAT);
    }
    let Some(length) = handle.file.metadata().ok().and_then(|found| i64::try_from(found.len()).ok()) else {
        return ffi::SQLITE_IOERR_FSTAT;
    };
    // SAFETY: `size` is writable.
    unsafe { *size = length };
    ffi::SQLITE_OK
}

/// One process, one connection: the wallet keeps others out with a lock of its own.
unsafe extern "C" fn lock(_file: *mut ffi::sqlite3_file, _level: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(_file: *mut ffi::sqlite3_file, result: *mut c_int) -> c_int {
    // SAFETY: `result` is writable.
    unsafe { *result = 0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_file: *mut ffi::sqlite3_file, _operation: c_int, _argument: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

/// As SQLite's own file system for Unix says.
unsafe extern "C" fn sector_size(_file: *mut ffi::sqlite3_file) -> c_int {
    4_096
}

/// As SQLite's own file system for Unix says: bytes beside those written are left alone.
unsafe extern "C" fn device_characteristics(_file: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}
