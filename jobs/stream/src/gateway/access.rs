//! Who may call which endpoint: roles by bearer token.

use axum::http::{HeaderMap, header};

use super::answer::Refused;
use super::config::Secrets;
use super::credential::is_token;
use crate::settings::Secret;

/// What a token may do. The administrator may do everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Enrols, rotates, revokes and lists vehicles.
    Vehicles,
    /// Sends notifications.
    Notify,
    /// Sends vehicle events, of all vehicles: the workshop's system, the hire desk's.
    Events,
    /// Says what drivers have agreed to and how to reach them: the hire desk's system.
    Drivers,
    /// Asks for the flow; lists, shows and redrives dead letters.
    Operations,
    /// Tells of changes in Kubernetes: the operator, and the API server's audit webhook.
    Audit,
    /// Tells of runs of actions: the OpenWhisk.
    Activations,
}

impl Role {
    const ALL: [Self; 8] = [
        Self::Admin,
        Self::Vehicles,
        Self::Notify,
        Self::Events,
        Self::Drivers,
        Self::Operations,
        Self::Audit,
        Self::Activations,
    ];

    /// Its word in audit records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Vehicles => "vehicles",
            Self::Notify => "notify",
            Self::Events => "events",
            Self::Drivers => "drivers",
            Self::Operations => "operations",
            Self::Audit => "audit",
            Self::Activations => "activations",
        }
    }

    /// The entry of the gateway's secret that holds its token.
    #[must_use]
    pub fn token_name(self) -> &'static str {
        match self {
            Self::Admin => "admin-token",
            Self::Vehicles => "vehicles-token",
            Self::Notify => "notify-token",
            Self::Events => "events-token",
            Self::Drivers => "drivers-token",
            Self::Operations => "operations-token",
            Self::Audit => "audit-token",
            Self::Activations => "activations-token",
        }
    }

    fn secret(self, secrets: &Secrets) -> Option<&Secret> {
        match self {
            Self::Admin => Some(&secrets.admin_token),
            Self::Notify => Some(&secrets.notify_token),
            Self::Vehicles => secrets.vehicles_token.as_ref(),
            Self::Events => secrets.events_token.as_ref(),
            Self::Drivers => secrets.drivers_token.as_ref(),
            Self::Operations => secrets.operations_token.as_ref(),
            Self::Audit => secrets.audit_token.as_ref(),
            Self::Activations => secrets.activations_token.as_ref(),
        }
    }
}

/// The bearer token of a request.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

/// Lets a request of `role` or of the administrator pass, and tells which of them it is.
///
/// # Errors
/// [`Refused::Role`] when the token is nobody's, [`Refused::Forbidden`] when it is another role's.
pub fn require(headers: &HeaderMap, secrets: &Secrets, role: Role) -> Result<Role, Refused> {
    let token = role.token_name();
    let given = bearer(headers).ok_or(Refused::Role { token })?;
    let is = |role: &Role| {
        role.secret(secrets)
            .is_some_and(|secret| is_token(secret, given))
    };
    match Role::ALL.into_iter().find(is) {
        None => Err(Refused::Role { token }),
        // One text may serve two roles: then it opens both.
        Some(Role::Admin) => Ok(Role::Admin),
        Some(_) if is(&role) => Ok(role),
        Some(other) => Err(Refused::Forbidden {
            role: other.as_str(),
            token,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::seal::SealKey;
    use millrace_contract::pseudonym::PseudonymKey;

    fn secrets() -> Secrets {
        Secrets {
            admin_token: Secret::new("admin"),
            notify_token: Secret::new("notify"),
            vehicles_token: Some(Secret::new("vehicles")),
            events_token: None,
            drivers_token: None,
            operations_token: None,
            audit_token: None,
            activations_token: None,
            pseudonym_key: PseudonymKey::from_bytes(&[7; 32]).unwrap(),
            seal_key: SealKey::from_text("a secret of more than thirty-two characters").unwrap(),
        }
    }

    fn with(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        headers
    }

    #[test]
    fn bearer_tokens() {
        assert_eq!(bearer(&with("Bearer abc")), Some("abc"));
        assert_eq!(bearer(&with("bearer abc")), Some("abc"));
        assert_eq!(bearer(&with("Basic abc")), None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn each_role_opens_its_own_and_the_administrator_all() {
        let secrets = secrets();
        for role in Role::ALL {
            let admin = require(&with("Bearer admin"), &secrets, role);
            assert_eq!(admin.unwrap(), Role::Admin);
        }
        let own = require(&with("Bearer vehicles"), &secrets, Role::Vehicles);
        assert_eq!(own.unwrap(), Role::Vehicles);
        let other = require(&with("Bearer vehicles"), &secrets, Role::Notify);
        assert!(matches!(
            other,
            Err(Refused::Forbidden {
                role: "vehicles",
                token: "notify-token"
            })
        ));
        // A role whose token the secret does not hold is only the administrator's.
        let unknown = require(&with("Bearer operations"), &secrets, Role::Operations);
        assert!(matches!(unknown, Err(Refused::Role { .. })));
        let none = require(&HeaderMap::new(), &secrets, Role::Admin);
        assert!(matches!(none, Err(Refused::Role { .. })));
    }
}
