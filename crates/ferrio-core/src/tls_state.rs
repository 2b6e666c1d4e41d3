//! The states of a TLS connection and of the program's protocol, and which may follow which.

/// asyncio's `SSLProtocolState`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Before the handshake, and after the end.
    #[default]
    Unwrapped,
    DoHandshake,
    Wrapped,
    /// Closing: what was written is still sent, what has arrived is still read.
    Flushing,
    /// Waiting for the peer's `close_notify`.
    Shutdown,
}

impl State {
    /// The name of the member of the enum.
    pub fn name(self) -> &'static str {
        match self {
            State::Unwrapped => "UNWRAPPED",
            State::DoHandshake => "DO_HANDSHAKE",
            State::Wrapped => "WRAPPED",
            State::Flushing => "FLUSHING",
            State::Shutdown => "SHUTDOWN",
        }
    }

    /// Whether `next` may follow.
    pub fn allows(self, next: State) -> bool {
        use State::{DoHandshake, Flushing, Shutdown, Unwrapped, Wrapped};
        matches!(
            (self, next),
            (_, Unwrapped)
                | (Unwrapped, DoHandshake)
                | (DoHandshake, Wrapped)
                | (Wrapped, Flushing)
                | (Flushing, Shutdown)
        )
    }

    /// Whether the program can write no more.
    pub fn is_ending(self) -> bool {
        matches!(self, State::Flushing | State::Shutdown | State::Unwrapped)
    }
}

/// asyncio's `AppProtocolState`: which of its callbacks the program's protocol has had.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum AppState {
    #[default]
    Init,
    ConnectionMade,
    Eof,
    ConnectionLost,
}

impl AppState {
    /// The name of the member of the enum.
    pub fn name(self) -> &'static str {
        match self {
            AppState::Init => "STATE_INIT",
            AppState::ConnectionMade => "STATE_CON_MADE",
            AppState::Eof => "STATE_EOF",
            AppState::ConnectionLost => "STATE_CON_LOST",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::State::{self, DoHandshake, Flushing, Shutdown, Unwrapped, Wrapped};

    #[test]
    fn states_follow_each_other_in_one_order() {
        const ALL: [State; 5] = [Unwrapped, DoHandshake, Wrapped, Flushing, Shutdown];
        for (at, from) in ALL.into_iter().enumerate() {
            for (to, next) in ALL.into_iter().enumerate() {
                assert_eq!(from.allows(next), to == 0 || to == at + 1, "{} -> {}", from.name(), next.name());
            }
        }
    }
}
