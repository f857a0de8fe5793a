//! Windows: runs a program with arguments that are not valid Unicode, and exits as the program
//! does.

#[cfg(windows)]
fn main() -> std::io::Result<std::process::ExitCode> {
    use std::ffi::OsString;
    use std::os::windows::ffi::OsStringExt;
    use std::process::{Command, ExitCode};

    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().unwrap_or_default();
    // A high surrogate without its low one, alone and inside an option.
    let option: Vec<u16> = "--test=".encode_utf16().chain([0xd800, u16::from(b'x')]).collect();
    let done = Command::new(program)
        .args(arguments)
        .args([OsString::from_wide(&[0xdc00]), OsString::from_wide(&option)])
        .status()?;
    let code = done.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(u8::MAX)))
}

#[cfg(not(windows))]
fn main() {}
