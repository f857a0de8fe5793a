//! Connections that are stuck: the kinds, the test for each kind, and the time.
//!
//! The kernel keeps neither the birth of a connection nor the time since it is in its state. It
//! keeps the times since data was sent, since data was received and since something was
//! acknowledged (`tcpi_last_data_sent` and others of `struct tcp_info` in `linux/tcp.h`). The times
//! here follow from these.

use std::fmt;

use crate::name::named_enum;
use crate::vocabulary::ConnectionStatus;

named_enum! {
    /// A kind of stuck connections. A connection can be of several kinds.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    #[repr(u8)]
    pub enum StuckKind("kind") {
        /// The peer has closed the connection, the application on this host has not.
        HalfClosed = "half-closed",
        /// Data has arrived that the application does not read.
        Unread = "unread",
        /// The peer does not acknowledge what was sent to it several times.
        SilentPeer = "silent-peer",
        /// The peer does not read: its window is closed, and data waits to be sent.
        PeerNotReading = "peer-not-reading",
        /// No data goes in either direction, and no keepalive would notice that the peer is dead.
        Idle = "idle",
    }
}

impl StuckKind {
    /// The kinds that are meant where no kind is named.
    pub const USUAL: [Self; 4] =
        [Self::HalfClosed, Self::Unread, Self::SilentPeer, Self::PeerNotReading];

    /// The states in which a connection can be of this kind.
    #[must_use]
    pub const fn states(self) -> &'static [ConnectionStatus] {
        use ConnectionStatus::{
            CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, SynSent,
        };
        match self {
            Self::HalfClosed => &[CloseWait],
            Self::Unread => &[Established, CloseWait],
            Self::SilentPeer => {
                &[Established, SynSent, FinWait1, FinWait2, CloseWait, LastAck, Closing]
            }
            Self::PeerNotReading => &[Established, FinWait1, CloseWait, LastAck, Closing],
            Self::Idle => &[Established],
        }
    }
}

/// The largest number of seconds that can be asked for, 40 days: the kernel's times are 32-bit
/// milliseconds, which start again at 0 after 49.7 days.
pub const MOST_SECONDS: u32 = 40 * 24 * 60 * 60;

/// The shortest and the longest usual time between two tries, in milliseconds (`TCP_RTO_MIN` and
/// `TCP_RTO_MAX` in `net/tcp.h`).
const SHORTEST_TRY: u32 = 200;
const LONGEST_TRY: u32 = 120_000;
/// The longest usual time before the probe that can go before the first try, in milliseconds.
const EARLIEST_PROBE: u32 = 500;

/// The number of retransmissions, probes or requests without an answer that make a peer silent.
const SILENT: u8 = 3;

named_enum! {
    /// The timer of a connection (`idiag_timer` of `struct inet_diag_msg`), named as `ss(8)` names it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    #[repr(u8)]
    pub enum Timer("timer") {
        /// None, or one that does not concern the peer.
        None = "none",
        /// Data, or a request, was sent and is not acknowledged.
        Retransmit = "on",
        /// Keepalive probes are sent while the connection is idle (`SO_KEEPALIVE` in `socket(7)`).
        Keepalive = "keepalive",
        /// The end of a connection in `TIME_WAIT`.
        TimeWait = "timewait",
        /// The peer's window is closed; probes ask whether it has opened.
        Probe = "persist",
    }
}

impl Timer {
    /// The timer of this number.
    #[must_use]
    pub const fn from_linux(number: u8) -> Self {
        match number {
            1 => Self::Retransmit,
            2 => Self::Keepalive,
            3 => Self::TimeWait,
            4 => Self::Probe,
            _ => Self::None,
        }
    }
}

/// The facts about a connection's data that its kinds follow from. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The state.
    pub status: ConnectionStatus,
    /// The bytes in the receive queue. The end of the peer's data counts as one byte until the
    /// application has read it.
    pub unread: u32,
    /// The bytes in the send queue.
    pub unsent: u32,
    /// The timer.
    pub timer: Timer,
    /// The retransmissions or probes of that timer without an answer (`idiag_retrans`).
    pub tries: u8,
    /// The time until the timer ends (`idiag_expires`).
    pub expires: u32,
    /// The retransmissions without an answer (`tcpi_retransmits`).
    pub retransmits: u8,
    /// The number of times that the time to the next retransmission was doubled (`tcpi_backoff`).
    pub backoff: u8,
    /// The time to the next retransmission (`tcpi_rto`).
    pub retransmit_after: u32,
    /// The segments that are not acknowledged (`tcpi_unacked`).
    pub unacked: u32,
    /// The time since data was last sent (`tcpi_last_data_sent`).
    pub last_sent: u32,
    /// The time since data was last received (`tcpi_last_data_recv`).
    pub last_received: u32,
    /// The time since the peer last acknowledged something (`tcpi_last_ack_recv`).
    pub last_acknowledged: u32,
}

/// The time for which a connection has been stuck, in milliseconds: exact, or between bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wait {
    /// The lower bound.
    pub least: u32,
    /// The upper bound.
    pub most: u32,
}

impl Wait {
    const fn exactly(time: u32) -> Self {
        Self { least: time, most: time }
    }

    /// The bounds in whole seconds, rounded down.
    #[must_use]
    pub const fn seconds(self) -> (u32, u32) {
        (self.least / 1000, self.most / 1000)
    }

    /// The bounds of the longer one of two times.
    #[must_use]
    pub fn longer(self, other: Self) -> Self {
        Self { least: self.least.max(other.least), most: self.most.max(other.most) }
    }
}

/// `4512 s`, or `300 to 4500 s`
impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seconds() {
            (least, most) if least == most => write!(f, "{least} s"),
            (least, most) => write!(f, "{least} to {most} s"),
        }
    }
}

impl Transfer {
    /// The time for which the connection has been of this kind; `None` where it is not.
    #[must_use]
    pub fn stuck(&self, kind: StuckKind) -> Option<Wait> {
        kind.states().contains(&self.status).then(|| self.stuck_in_a_state_of(kind)).flatten()
    }

    fn stuck_in_a_state_of(&self, kind: StuckKind) -> Option<Wait> {
        match kind {
            StuckKind::HalfClosed => Some(self.since_the_peer_closed()),
            StuckKind::Unread => {
                (self.unread > self.end_of_data()).then_some(Wait::exactly(self.last_received))
            }
            StuckKind::SilentPeer => self.silent(),
            // A peer that shrinks its window below what was sent looks like one that answers late: the
            // timer is that of retransmissions, of which none is counted.
            StuckKind::PeerNotReading => (self.timer == Timer::Probe && self.unsent > 0)
                .then_some(Wait::exactly(self.last_sent)),
            StuckKind::Idle => (self.timer == Timer::None)
                .then(|| Wait::exactly(self.last_sent.min(self.last_received))),
        }
    }

    /// The time since the peer closed. Its last segment with data came before, and the segment that
    /// closed had an acknowledgement. Later acknowledgements answer probes, or data that was sent
    /// since.
    fn since_the_peer_closed(&self) -> Wait {
        let most = self.last_received.max(self.last_acknowledged);
        let answers_data = self.last_sent.saturating_sub(self.last_acknowledged)
            <= self.retransmit_after.max(1000);
        if self.timer != Timer::None || answers_data {
            Wait { least: self.last_acknowledged.min(self.last_received), most }
        } else {
            Wait::exactly(self.last_acknowledged)
        }
    }

    fn silent(&self) -> Option<Wait> {
        let heard = self.last_acknowledged.min(self.last_received);
        let tried = || self.since_the_first_try();
        match (self.status, self.timer) {
            // The kernel has no times yet.
            (ConnectionStatus::SynSent, _) => (self.retransmits >= SILENT).then(tried),
            (_, Timer::Keepalive) => (self.tries >= SILENT).then_some(Wait::exactly(heard)),
            // The peer of an idle connection had nothing to say before.
            _ => (self.unacked > 0 && self.retransmits >= SILENT).then(|| {
                let Wait { least, most } = tried();
                Wait { least: least.min(heard), most: most.min(heard) }
            }),
        }
    }

    /// The time since something was first sent that is not acknowledged. The time between two tries
    /// doubles, up to two minutes (`TCP_RTO_MAX` in `net/tcp.h`). In the state `SYN_SENT`, the first
    /// tries are a second apart since Linux 6.5 (`tcp_syn_linear_timeouts`).
    ///
    /// The kernel's timers end up to an eighth late, and a probe can go before the first try
    /// (`kernel/time/timer.c`; RFC 8985, section 7).
    fn since_the_first_try(&self) -> Wait {
        let first = self.retransmit_after.checked_shr(self.backoff.into()).unwrap_or(0);
        let first =
            if self.retransmit_after < LONGEST_TRY { first } else { first.max(SHORTEST_TRY) };
        let even = u32::from(self.retransmits.saturating_sub(self.backoff)).saturating_mul(first);
        let doubled = (0..self.backoff).fold((0_u32, first), |(sum, next), _| {
            (sum.saturating_add(next), next.saturating_mul(2).min(LONGEST_TRY))
        });
        let (doubled, _) = doubled;
        let of_this_try = self.retransmit_after.saturating_sub(self.expires);
        let least = even.saturating_add(doubled).saturating_add(of_this_try);
        Wait { least, most: least.saturating_add(least / 8).saturating_add(EARLIEST_PROBE) }
    }

    /// The bytes that wait to be read or to be sent.
    #[must_use]
    pub fn bytes(&self) -> u32 {
        self.unread.saturating_sub(self.end_of_data()).max(self.unsent)
    }

    /// The bytes of the receive queue that stand for the end of the peer's data, at most.
    fn end_of_data(&self) -> u32 {
        u32::from(self.status == ConnectionStatus::CloseWait)
    }

    /// The meaning of a kind for this connection, in words.
    #[must_use]
    pub fn meaning(&self, kind: StuckKind) -> Meaning {
        match kind {
            StuckKind::HalfClosed if self.unread > 0 => Meaning::EndNotRead,
            StuckKind::HalfClosed => Meaning::NotClosed,
            StuckKind::Unread => Meaning::DataNotRead,
            StuckKind::SilentPeer => match (self.status, self.timer) {
                (ConnectionStatus::SynSent, _) => Meaning::NoAnswer(self.retransmits, "requests"),
                (_, Timer::Keepalive) => Meaning::NoAnswer(self.tries, "keepalive probes"),
                _ => Meaning::NoAnswer(self.retransmits, "retransmissions"),
            },
            StuckKind::PeerNotReading => Meaning::WindowClosed,
            StuckKind::Idle => Meaning::NoKeepalive,
        }
    }
}

/// The meaning of a kind for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Meaning {
    /// The application has not read the end of the peer's data: it hangs, or it does not look.
    EndNotRead,
    /// The application has read the end of the peer's data and has not closed: a call of `close(2)`
    /// is missing.
    NotClosed,
    /// The application does not read data.
    DataNotRead,
    /// The peer has not answered so many retransmissions, probes or requests.
    NoAnswer(u8, &'static str),
    /// The peer's window is closed.
    WindowClosed,
    /// Nothing would notice that the peer is dead.
    NoKeepalive,
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndNotRead => "end of file not read",
            Self::NotClosed => "end of file read, not closed",
            Self::DataNotRead => "data not read",
            Self::NoAnswer(number, what) => {
                return write!(f, "peer has not answered {number} {what}");
            }
            Self::WindowClosed => "peer's window is closed",
            Self::NoKeepalive => "no data, no keepalive",
        })
    }
}

#[cfg(test)]
pub(crate) mod made {
    use super::{ConnectionStatus, Timer, Transfer};

    /// A connection in this state that waits for nothing.
    pub(crate) fn transfer(status: ConnectionStatus) -> Transfer {
        Transfer {
            status,
            unread: 0,
            unsent: 0,
            timer: Timer::None,
            tries: 0,
            expires: 0,
            retransmits: 0,
            backoff: 0,
            retransmit_after: 204,
            unacked: 0,
            last_sent: 9_000,
            last_received: 8_000,
            last_acknowledged: 5_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::name::Named;
    use ConnectionStatus::{CloseWait, Established, FinWait2, SynSent, TimeWait};
    use StuckKind::{HalfClosed, Idle, PeerNotReading, SilentPeer, Unread};

    use super::*;

    fn transfer(status: ConnectionStatus, change: impl FnOnce(&mut Transfer)) -> Transfer {
        let mut made = made::transfer(status);
        change(&mut made);
        made
    }

    fn kinds(transfer: &Transfer) -> Vec<(StuckKind, (u32, u32))> {
        let stuck = StuckKind::VALUES.iter();
        stuck.filter_map(|kind| Some((*kind, transfer.stuck(*kind)?.seconds()))).collect()
    }

    #[test]
    fn the_peer_has_closed_exactly_or_between_two_times() {
        let exact = transfer(CloseWait, |_| {});
        assert_eq!(kinds(&exact), [(HalfClosed, (5, 5))]);
        // The last acknowledgement may answer a probe, or what was sent.
        let kept_alive = transfer(CloseWait, |t| t.timer = Timer::Keepalive);
        assert_eq!(kinds(&kept_alive), [(HalfClosed, (5, 8))]);
        let answered = transfer(CloseWait, |t| t.last_sent = 5_900);
        assert_eq!(kinds(&answered), [(HalfClosed, (5, 8))]);
        let probed = transfer(CloseWait, |t| (t.timer, t.unsent) = (Timer::Probe, 10));
        assert_eq!(kinds(&probed), [(HalfClosed, (5, 8)), (PeerNotReading, (9, 9))]);
        let not_read = transfer(CloseWait, |t| t.unread = 1);
        assert_eq!(not_read.meaning(HalfClosed), Meaning::EndNotRead);
        assert_eq!(exact.meaning(HalfClosed).to_string(), "end of file read, not closed");
    }

    #[test]
    fn unread_data_is_more_than_the_end_of_data() {
        assert_eq!(kinds(&transfer(CloseWait, |t| t.unread = 1)), [(HalfClosed, (5, 5))]);
        let both = [(HalfClosed, (5, 5)), (Unread, (8, 8))];
        assert_eq!(kinds(&transfer(CloseWait, |t| t.unread = 2)), both);
        let kept_alive = |t: &mut Transfer| (t.unread, t.timer) = (1, Timer::Keepalive);
        assert_eq!(kinds(&transfer(Established, kept_alive)), [(Unread, (8, 8))]);
    }

    #[test]
    fn a_peer_is_silent_after_three_tries() {
        let data = |retransmits| {
            transfer(Established, |t| {
                (t.timer, t.unacked, t.retransmits) = (Timer::Retransmit, 2, retransmits);
                // A fifth of a second, doubled each time; half of the last wait is over.
                (t.backoff, t.retransmit_after) = (retransmits, 200 << retransmits);
                t.expires = t.retransmit_after / 2;
            })
        };
        assert_eq!(kinds(&data(2)), []);
        let least = |transfer: &Transfer| transfer.stuck(SilentPeer).map(|wait| wait.least);
        assert_eq!(least(&data(3)), Some(1_400 + 800));
        // Where the peer was heard later than that, it was.
        assert_eq!(kinds(&data(6)), [(SilentPeer, (5, 5))]);
        // After the tenth try the waits stay the same.
        let long = transfer(Established, |t| {
            (t.timer, t.unacked, t.retransmits, t.backoff) = (Timer::Retransmit, 2, 12, 12);
            (t.retransmit_after, t.expires) = (120_000, 120_000);
            (t.last_acknowledged, t.last_received) = (7_200_000, 7_200_000);
        });
        assert_eq!(least(&long), Some(204_600 + 2 * 120_000));
        let text = data(3).meaning(SilentPeer).to_string();
        assert_eq!(text, "peer has not answered 3 retransmissions");
        let probed = |tries| transfer(FinWait2, |t| (t.timer, t.tries) = (Timer::Keepalive, tries));
        assert_eq!(kinds(&probed(2)), []);
        assert_eq!(kinds(&probed(3)), [(SilentPeer, (5, 5))]);
        // Four requests a second apart, and two with doubled waits; of the last wait a second is over.
        let requested = transfer(SynSent, |t| {
            (t.timer, t.unacked, t.last_acknowledged) = (Timer::Retransmit, 1, 982_000);
            (t.retransmits, t.backoff, t.retransmit_after, t.expires) = (6, 2, 4_000, 3_000);
        });
        assert_eq!(kinds(&requested), [(SilentPeer, (8, 9))]);
        // Before Linux 6.5 each wait is twice as long.
        let requested =
            Transfer { retransmits: 3, backoff: 3, retransmit_after: 8_000, ..requested };
        assert_eq!(kinds(&requested), [(SilentPeer, (12, 14))]);
    }

    #[test]
    fn a_peer_that_closes_its_window_does_not_read() {
        let closed = transfer(Established, |t| (t.timer, t.unsent) = (Timer::Probe, 10));
        assert_eq!(kinds(&closed), [(PeerNotReading, (9, 9))]);
        // A peer that shrinks its window, or answers late, lives.
        let shrunk = transfer(Established, |t| {
            (t.timer, t.unacked, t.backoff, t.retransmit_after) = (Timer::Retransmit, 4, 5, 6_400);
        });
        assert_eq!(kinds(&shrunk), []);
    }

    #[test]
    fn a_connection_with_a_keepalive_is_not_idle() {
        assert_eq!(kinds(&transfer(Established, |_| {})), [(Idle, (8, 8))]);
        assert_eq!(kinds(&transfer(Established, |t| t.timer = Timer::Keepalive)), []);
        assert_eq!(kinds(&transfer(TimeWait, |t| t.timer = Timer::TimeWait)), []);
    }

    #[test]
    fn times_are_shown_in_whole_seconds() {
        assert_eq!(Wait { least: 300_999, most: 300_999 }.to_string(), "300 s");
        assert_eq!(Wait { least: 300_000, most: 4_500_999 }.to_string(), "300 to 4500 s");
    }
}
