//! Another program, started (`posix_spawn(3)`). `std::process::Command` is 10 KB of code for what it can besides.

use rustix::io::{Errno, Result};
use rustix::process::Pid;
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::ptr;

/// Starts a program in `/`, without an environment, whose standard streams lead nowhere. It is to be waited for.
pub fn spawn(program: &CStr, arguments: &[CString]) -> Result<Pid> {
    let null = c"/dev/null".as_ptr();
    let pointers = arguments.iter().map(|argument| argument.as_ptr().cast_mut());
    let arguments: Vec<*mut libc::c_char> = pointers.chain([ptr::null_mut()]).collect();
    let environment = [ptr::null_mut()];
    let mut process = 0;
    let mut actions = MaybeUninit::<libc::posix_spawn_file_actions_t>::uninit();
    // SAFETY: every string ends with a zero byte, every list with a null pointer, and all outlive the calls; none of them
    // is written to. The actions are initialised before anything else is done with them, and freed once.
    unsafe {
        let actions = actions.as_mut_ptr();
        done(libc::posix_spawn_file_actions_init(actions))?;
        let started = [(0, libc::O_RDONLY), (1, libc::O_WRONLY), (2, libc::O_WRONLY)]
            .into_iter()
            .try_for_each(|(stream, flags)| {
                done(libc::posix_spawn_file_actions_addopen(actions, stream, null, flags, 0))
            })
            .and_then(|()| done(libc::posix_spawn_file_actions_addchdir_np(actions, c"/".as_ptr())))
            .and_then(|()| {
                let (arguments, environment) = (arguments.as_ptr(), environment.as_ptr());
                done(libc::posix_spawn(
                    &raw mut process,
                    program.as_ptr(),
                    actions,
                    ptr::null(),
                    arguments,
                    environment,
                ))
            });
        libc::posix_spawn_file_actions_destroy(actions);
        started?;
    }
    Pid::from_raw(process).ok_or(Errno::SRCH)
}

/// These calls give the error itself.
fn done(status: libc::c_int) -> Result<()> {
    match status {
        0 => Ok(()),
        errno => Err(Errno::from_raw_os_error(errno)),
    }
}
