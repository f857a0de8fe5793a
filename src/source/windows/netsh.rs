//! Windows: the ports for outgoing connections. `netsh` prints them; no system call reports them.

use std::io;
use std::os::windows::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use log::warn;

use crate::deadline::Deadline;
use crate::ephemeral::{ByFamily, PortRange};
use crate::error::Error;
use crate::namespaces::View;
use crate::source::windows::port_text::{dynamic, excluded};
use crate::windows::said;
use crate::worker::Worker;

/// Whether the ports for outgoing connections cost next to nothing to read: here they take four
/// programs.
pub const PORTS_ARE_AT_HAND: bool = false;
/// The error where the ports are required and cannot be read.
pub const PORTS_UNTOLD: &str = "The ports for outgoing connections cannot be read here \
     (netsh interface ipv4 show dynamicport tcp, ... show excludedportrange tcp, and of ipv6)";
/// The error where no port is left.
pub const NO_PORTS: &str = "No port is left for outgoing connections: all of the dynamic port range \
     are excluded or listened on (netsh interface ipv4 show excludedportrange tcp)";

/// The ranges from which the system takes ports for outgoing connections, one for IPv4 and one for
/// IPv6.
pub fn ephemeral_ports(
    _: &View,
    deadline: &Deadline,
) -> Result<Option<ByFamily<PortRange>>, Error> {
    static TABLES: Worker = Worker::new();
    let tables = TABLES.ask(deadline, tables)?;
    Ok(tables.inspect_err(|error| warn!("netsh: {error}")).ok())
}

fn tables() -> io::Result<ByFamily<PortRange>> {
    // All four programs start at once: each takes a while to start.
    let families = [Tables::ask("ipv4"), Tables::ask("ipv6")];
    let [ipv4, ipv6] = families.map(|tables| tables.and_then(Tables::read));
    Ok(ByFamily { ipv4: ipv4?, ipv6: ipv6? })
}

/// The two programs that print the tables of one family.
struct Tables {
    dynamic: Child,
    excluded: Child,
}

impl Tables {
    fn ask(family: &str) -> io::Result<Self> {
        let ask = |table| netsh(&["interface", family, "show", table, "tcp"]);
        Ok(Self { dynamic: ask("dynamicport")?, excluded: ask("excludedportrange")? })
    }

    fn read(self) -> io::Result<PortRange> {
        let unclear = || io::Error::other("its answer is no table of ports");
        let ports = dynamic(&printed(self.dynamic)?).ok_or_else(unclear)?;
        let reserved = excluded(&printed(self.excluded)?).ok_or_else(unclear)?;
        Ok(PortRange { ports, reserved })
    }
}

/// Starts the system's own `netsh`, without the environment of this process.
fn netsh(arguments: &[&str]) -> io::Result<Child> {
    /// `CREATE_NO_WINDOW` in `winbase.h`.
    const NO_WINDOW: u32 = 0x0800_0000;
    let system = winsafe::GetSystemDirectory().map_err(said)?;
    let system = Path::new(&system);
    let mut command = Command::new(system.join("netsh.exe"));
    command.args(arguments).current_dir(system).env_clear().creation_flags(NO_WINDOW);
    command.envs(system.parent().map(|windows| ("SystemRoot", windows)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
}

fn printed(netsh: Child) -> io::Result<Vec<u8>> {
    let output = netsh.wait_with_output()?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(io::Error::other(output.status.to_string()))
    }
}
