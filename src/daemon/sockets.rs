//! The listening sockets: opened here, or by systemd.

use std::net::TcpListener;

use anyhow::{Context, anyhow};
use listenfd::ListenFd;

use super::addresses::{self, PRIVATE, PUBLIC};
use crate::config::{InvalidConfig, ListenAddress, Problem, Settings, Sources};
use crate::http::{self, SocketOrigin, Sockets};

/// The sockets of both listeners.
pub(super) struct Listeners {
    pub(super) public: Sockets,
    pub(super) private: Sockets,
}

/// A listener that uses sockets of systemd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct User {
    /// `FileDescriptorName` of its sockets.
    name: &'static str,
    /// The key that says so.
    key: &'static str,
}

const PUBLIC_USER: User = User { name: "webhook", key: "webhook.systemd_socket" };
const PRIVATE_USER: User = User { name: "web", key: "web.systemd_socket" };

impl Listeners {
    /// # Errors
    ///
    /// An address cannot be used, or systemd did not pass the sockets that the configuration expects.
    pub(super) fn open(settings: &Settings, sources: &Sources) -> anyhow::Result<Self> {
        let Settings { webhook, web, .. } = settings;
        addresses::conflict(settings).map_or(Ok(()), |conflict| Err(InvalidConfig(vec![conflict])))?;
        let users = [(PUBLIC_USER, webhook.systemd_socket), (PRIVATE_USER, web.systemd_socket)];
        let users: Vec<User> = users.into_iter().filter(|(_, uses)| *uses).map(|(user, _)| user).collect();
        let mut passed = Passed::from_systemd(&users, sources.variable("LISTEN_FDNAMES").unwrap_or_default())?;
        let mut sockets = |user, is_passed, key, addresses: &[ListenAddress]| {
            let (listeners, origin) = if is_passed {
                (passed.take(user)?, SocketOrigin::Passed)
            } else {
                (listen(key, addresses)?, SocketOrigin::Own)
            };
            anyhow::Ok(Sockets { listeners, origin })
        };
        let public = sockets(PUBLIC_USER, webhook.systemd_socket, PUBLIC, &webhook.listen_addresses)?;
        let private = sockets(PRIVATE_USER, web.systemd_socket, PRIVATE, &web.listen_addresses)?;
        Ok(Self { public, private })
    }
}

fn listen(key: &str, addresses: &[ListenAddress]) -> anyhow::Result<Vec<TcpListener>> {
    let mut sockets = Vec::new();
    for address in addresses {
        let resolved = address.resolve().with_context(|| format!("{key}: {address} cannot be resolved"))?;
        let opened = http::listen_on(&resolved).with_context(|| format!("{key}: cannot listen on {address}"))?;
        sockets.extend(opened);
    }
    sockets.first().ok_or_else(|| anyhow!("{key}: the address resolves to nothing"))?;
    Ok(sockets)
}

/// The sockets that systemd has passed.
struct Passed(Vec<(User, TcpListener)>);

impl Passed {
    /// Takes the sockets for these listeners by their names, and warns of others: connections to them would wait without
    /// an answer.
    ///
    /// # Errors
    ///
    /// A socket cannot be used, or it is not clear for which listener it is.
    fn from_systemd(users: &[User], names: &str) -> Result<Self, InvalidConfig> {
        let mut descriptors = ListenFd::from_env();
        let names = names.split(':').chain(std::iter::repeat("")).take(descriptors.len());
        let mut sockets = Vec::new();
        for (index, name) in names.enumerate() {
            let invalid = |key: &str, problem: String| {
                InvalidConfig(vec![Problem::new(
                    key,
                    None,
                    format!("socket {index} of systemd, named {name:?}: {problem}"),
                )])
            };
            match user_of(name, users) {
                Ok(Some(user)) => {
                    let socket = descriptors.take_tcp_listener(index).and_then(|socket| {
                        let socket = socket.ok_or(std::io::ErrorKind::NotFound)?;
                        http::adopt(&socket)?;
                        Ok(socket)
                    });
                    let expected = "expected a TCP socket: ListenStream=HOST:PORT, without Accept=yes";
                    sockets.push((user, socket.map_err(|error| invalid(user.key, format!("{error}; {expected}")))?));
                }
                Ok(None) => tracing::warn!(
                    name,
                    action = "set webhook.systemd_socket or web.systemd_socket, or disable the socket unit",
                    "systemd passed a socket that is not used; connections to it are not answered"
                ),
                Err(problem) => return Err(invalid(users[0].key, problem)),
            }
        }
        Ok(Self(sockets))
    }

    /// The sockets of a listener.
    fn take(&mut self, user: User) -> Result<Vec<TcpListener>, InvalidConfig> {
        let (of_user, others) = std::mem::take(&mut self.0).into_iter().partition(|(owner, _)| *owner == user);
        self.0 = others;
        if of_user.is_empty() {
            let User { name, key } = user;
            let message = format!(
                "systemd passed no socket for it: start a socket unit with FileDescriptorName={name} and \
                 Service=NAME.service, whose service runs this program directly; or set {key} to false"
            );
            return Err(InvalidConfig(vec![Problem::new(key, None, message)]));
        }
        Ok(of_user.into_iter().map(|(_, socket)| socket).collect())
    }
}

/// The listener that a socket with this name is for. A single listener needs no names, as in other exporters.
///
/// # Errors
///
/// Two listeners use sockets of systemd, and the name is that of neither.
fn user_of(name: &str, users: &[User]) -> Result<Option<User>, String> {
    let named = users.iter().find(|user| user.name == name);
    match (named, users) {
        (Some(user), _) => Ok(Some(*user)),
        (None, []) => Ok(None),
        (None, [_]) if [PUBLIC_USER.name, PRIVATE_USER.name].contains(&name) => Ok(None),
        (None, [user]) => Ok(Some(*user)),
        (None, _) => Err("set FileDescriptorName=webhook or FileDescriptorName=web in its socket unit".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_is_for_the_listener_of_its_name_and_a_single_listener_needs_no_name() {
        let both = [PUBLIC_USER, PRIVATE_USER];
        for (name, users, expected) in [
            ("webhook", &both[..], Ok(Some("webhook"))),
            ("web", &both, Ok(Some("web"))),
            ("exporter.socket", &both, Err(())),
            ("", &both, Err(())),
            ("exporter.socket", &both[..1], Ok(Some("webhook"))),
            ("unknown", &both[1..], Ok(Some("web"))),
            ("web", &both[1..], Ok(Some("web"))),
            ("webhook", &both[1..], Ok(None)),
            ("web", &both[..1], Ok(None)),
            ("web", &[], Ok(None)),
        ] {
            let user = user_of(name, users).map(|user| user.map(|user| user.name)).map_err(drop);
            assert_eq!(user, expected, "{name} {users:?}");
        }
    }
}
