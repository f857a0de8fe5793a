//! Linux: limits from `/proc/sys`, which shows those of the network namespace that a thread is in, and
//! the numbers in use from `/proc/net/sockstat` (`proc_net(5)`).

use crate::deadline::Deadline;
use crate::error::Error;
use crate::host_limit::{HostLimit, NetnsLimits, Use};
use crate::linux::initial::{PIDS, is_in_initial};
use crate::linux::limit_text::{FILE_NR, Limit, file_nr};
use crate::linux::settings::setting;
use crate::namespaces::View;
use crate::source::linux::limit_text::{conntrack, memory, number};
use crate::source::linux::procfs::{counts_tracked, sockstat};
use crate::vocabulary::{NetnsIndex, Protocol};

/// The limits that a network namespace shows: its own, and those of the host in the host's own
/// namespace. A limit that the kernel does not have is left out. An error where a file cannot be read
/// or parsed, and for a view through a process: the kernel shows only the settings of the namespace
/// that this thread is in.
pub fn netns_limits(
    netns: NetnsIndex,
    view: &View,
    deadline: &Deadline,
) -> Result<NetnsLimits, Error> {
    deadline.check()?;
    if *view != View::Inside {
        return Err(Error::Unsupported(
            "The limits of a network namespace can be read only inside it".to_owned(),
        ));
    }
    let counters = sockstat(view)?;
    let seen = |limit, used: Option<Use>| (limit, used.unwrap_or(Use::Unseen));
    let pages = |file, protocol| match setting(file)? {
        Some(text) => memory(file, &text, counters.memory(protocol)?).map(Some),
        None => Ok(None),
    };
    let sockets = |file, used: u64| match setting(file)? {
        Some(text) => number(file, &text).map(|of| Some(Use::Of { used, of })),
        None => Ok(None),
    };
    let mut shown = vec![
        seen(HostLimit::TcpMemory, pages("net/ipv4/tcp_mem", Protocol::Tcp)?),
        seen(HostLimit::UdpMemory, pages("net/ipv4/udp_mem", Protocol::Udp)?),
        seen(HostLimit::Orphans, sockets("net/ipv4/tcp_max_orphans", counters.orphans()?)?),
        seen(HostLimit::TimeWait, sockets("net/ipv4/tcp_max_tw_buckets", counters.time_wait()?)?),
    ];
    let (count, most) = ("net/netfilter/nf_conntrack_count", "net/netfilter/nf_conntrack_max");
    match (setting(count)?, setting(most)?) {
        (Some(used), Some(of)) => {
            shown
                .push((HostLimit::Conntrack, conntrack(number(count, &used)?, number(most, &of)?)));
        }
        // Linux before 5.10 hides these files in the namespaces of unprivileged users.
        (None, _) | (_, None) if counts_tracked(view)? => {
            shown.push((HostLimit::Conntrack, Use::Unseen));
        }
        (None, _) | (_, None) => {}
    }
    Ok(NetnsLimits { netns, uses: shown })
}

/// The use of the open files of the host. It is not shown in a container, whose processes are a part of
/// the host's, nor where `/proc` has no number.
pub fn host_files(deadline: &Deadline) -> Result<Use, Error> {
    let Some(text) = setting(FILE_NR)? else {
        return Ok(Use::Unseen);
    };
    let (used, limit) = file_nr(&text)?;
    Ok(match limit {
        _ if !is_in_initial(PIDS, deadline)? => Use::Unseen,
        Limit::Of(of) => Use::Of { used, of },
        Limit::Unlimited => Use::Unlimited,
    })
}
