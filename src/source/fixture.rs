//! A recorded list of connections, read as a stream: `[{"proto": "tcp", "status": "LISTEN"}, …]`.
//!
//! An entry may carry `local` and `remote` as `address:port`; other keys are ignored.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};

use serde_core::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use crate::collect::Collector;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::name::{Named, Unknown, spelled};
use crate::selection::Selection;
use crate::socket::Socket;
use crate::vocabulary::{ConnectionStatus, ConnectionType, NetnsIndex};

/// Hands every selected connection of a fixture to `collector`.
pub fn read<C: Collector>(
    text: impl Read,
    selection: &Selection,
    deadline: &Deadline,
    collector: &mut C,
) -> Result<(), Error> {
    let entry = Cell::new(0);
    let refused = RefCell::new(None);
    let list = List {
        entry: &entry,
        add: |recorded: &Recorded| {
            let taken = deadline.check().and_then(|()| {
                if selection.matches(recorded)? {
                    collector.add(NetnsIndex::OWN, recorded)?;
                }
                Ok(())
            });
            taken.map_err(|error| refused.replace(Some(error)))
        },
    };
    let mut json = serde_json::Deserializer::from_reader(text);
    let parsed = list.deserialize(&mut json).and_then(|()| {
        entry.set(0);
        json.end()
    });
    let fixture_error = |what: &dyn fmt::Display| match entry.get() {
        0 => Error::Fixture(format!("Fixture is not a JSON list of connections: {what}")),
        number => Error::Fixture(format!("Fixture entry {number}: {what}")),
    };
    match (parsed, refused.take()) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(Error::Unsupported(what))) => Err(fixture_error(&what)),
        (Err(_), Some(error)) => Err(error),
        (Err(error), None) => Err(fixture_error(&error)),
    }
}

/// The list: counts its entries, from 1, and passes each entry on.
struct List<'a, F> {
    entry: &'a Cell<u64>,
    add: F,
}

impl<'de, E, F: FnMut(&Recorded) -> Result<(), E>> DeserializeSeed<'de> for List<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, E, F: FnMut(&Recorded) -> Result<(), E>> Visitor<'de> for List<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        self.entry.set(1);
        while let Some(recorded) = entries.next_element_seed(Entry)? {
            (self.add)(&recorded).map_err(|_| A::Error::custom("refused"))?;
            self.entry.set(self.entry.get() + 1);
        }
        Ok(())
    }
}

/// An entry of the list.
struct Entry;

impl<'de> DeserializeSeed<'de> for Entry {
    type Value = Recorded;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Recorded, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Entry {
    type Value = Recorded;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with \"proto\" and \"status\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entry: A) -> Result<Recorded, A::Error> {
        let (mut connection_type, mut status, mut local, mut remote) = (None, None, None, None);
        while let Some(key) = entry.next_key::<String>()? {
            match key.as_str() {
                "proto" => connection_type = Some(counted(&entry.next_value::<String>()?)?),
                "status" => {
                    status =
                        Some(spelled(&entry.next_value::<String>()?).map_err(A::Error::custom)?);
                }
                "local" => local = Some(endpoint(&entry.next_value::<String>()?)?),
                "remote" => remote = Some(endpoint(&entry.next_value::<String>()?)?),
                _ => {
                    entry.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Recorded {
            connection_type: connection_type.ok_or_else(|| A::Error::missing_field("proto"))?,
            status: status.ok_or_else(|| A::Error::missing_field("status"))?,
            local,
            remote,
        })
    }
}

/// A type whose connections are counted, spelled exactly like this.
fn counted<E: serde_core::de::Error>(name: &str) -> Result<ConnectionType, E> {
    let types = ConnectionType::COUNTED;
    let names = types.map(Named::name);
    let unknown = || E::custom(Unknown::new(ConnectionType::WHAT, name, &names));
    types.into_iter().find(|t| t.name() == name).ok_or_else(unknown)
}

/// `address:port`, an IPv6 address with or without brackets.
fn endpoint<E: serde_core::de::Error>(text: &str) -> Result<SocketAddr, E> {
    let parse = || {
        let (address, port) = text.rsplit_once(':')?;
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address: IpAddr = bare.unwrap_or(address).parse().ok()?;
        Some(SocketAddr::new(address, port.parse().ok()?))
    };
    parse().ok_or_else(|| E::custom(format_args!("{text:?} is not address:port")))
}

/// A recorded connection.
struct Recorded {
    connection_type: ConnectionType,
    status: ConnectionStatus,
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
}

impl Socket for Recorded {
    fn connection_type(&self) -> ConnectionType {
        self.connection_type
    }

    fn status(&self) -> ConnectionStatus {
        self.status
    }

    fn local(&self) -> Result<SocketAddr, Error> {
        self.local.ok_or_else(|| Error::Unsupported("missing field `local`".to_owned()))
    }

    fn remote(&self) -> Result<SocketAddr, Error> {
        self.remote.ok_or_else(|| Error::Unsupported("missing field `remote`".to_owned()))
    }
}
