//! Role of a connection: what its client has called for.

use super::BetacrewConnection;
use crate::exchange::server::betacrew::subscription::Subscription;

/// Role of a connection, by the calls received. A stream, a subscription and a refusal are final:
/// no further call is answered.
#[derive(Debug)]
pub(in crate::exchange::server) enum ConnectionRole {
    /// No packets were requested yet, or only by resend calls of the extension.
    Idle,
    /// Resend calls of the original protocol were answered. Silence then ends the connection,
    /// unless its client speaks the extension.
    Resend,
    /// A stream was called for, or a subscription that is over.
    Stream,
    /// A live session is followed until it ends or the client does.
    Subscriber(Subscription),
    /// A sequence that does not exist was called for. The connection ends after the earlier
    /// replies.
    Refused,
}

impl ConnectionRole {
    /// Returns whether further calls are answered.
    pub(super) fn accepts_calls(&self) -> bool {
        matches!(self, Self::Idle | Self::Resend)
    }

    /// Returns the subscription of a subscriber.
    pub(in crate::exchange::server) fn subscription(&self) -> Option<&Subscription> {
        match self {
            Self::Subscriber(subscription) => Some(subscription),
            _ => None,
        }
    }

    /// Returns the subscription of a subscriber, to be changed.
    pub(in crate::exchange::server) fn subscription_mut(&mut self) -> Option<&mut Subscription> {
        match self {
            Self::Subscriber(subscription) => Some(subscription),
            _ => None,
        }
    }

    /// Ends the subscription of a subscriber. Other roles stay as they are.
    pub(super) fn end_subscription(&mut self) {
        if matches!(self, Self::Subscriber(_)) {
            *self = Self::Stream;
        }
    }
}

impl BetacrewConnection {
    /// Ends the subscription of a client that will send no more, because a subscription to a live
    /// session would never end by itself.
    pub(in crate::exchange::server) fn unsubscribe(&mut self) {
        if self.role.subscription().is_some() {
            self.role.end_subscription();
            self.drop_replies();
        }
    }

    /// Returns the role in one word, for people.
    pub(super) fn role_name(&self) -> &'static str {
        match self.role {
            ConnectionRole::Subscriber(_) => "subscriber",
            ConnectionRole::Stream => "stream",
            _ if self.answers > 0 => "resend",
            _ => "idle",
        }
    }
}
