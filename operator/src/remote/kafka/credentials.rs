//! Names and passwords that brokers let in (SCRAM). The upper half is pure.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse,
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
};

use super::admin::{KafkaAdmin, Target};
use super::error::KafkaError;
use super::message::text;
use super::scram::Mechanism;

/// How long a salt is, in bytes: as long as those that Kafka's own tools make.
const SALT_BYTES: usize = 24;

/// What brokers keep of a user's password, as far as they tell. Neither salt nor key can be read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential {
    /// The mechanism that it is for.
    pub mechanism: Mechanism,
    /// How often the hash was taken.
    pub iterations: u32,
}

fn code(mechanism: Mechanism) -> i8 {
    match mechanism {
        Mechanism::Sha256 => 1,
        Mechanism::Sha512 => 2,
    }
}

fn by_code(code: i8) -> Option<Mechanism> {
    match code {
        1 => Some(Mechanism::Sha256),
        2 => Some(Mechanism::Sha512),
        _ => None,
    }
}

fn describe_request(user: &str) -> DescribeUserScramCredentialsRequest {
    DescribeUserScramCredentialsRequest::default()
        .with_users(Some(vec![UserName::default().with_name(text(user))]))
}

fn read_credentials(
    response: &DescribeUserScramCredentialsResponse,
    asked: &str,
) -> Result<Vec<Credential>, KafkaError> {
    KafkaError::check(
        response.error_code,
        response.error_message.as_deref(),
        asked,
    )?;
    let mut found = Vec::new();
    for result in &response.results {
        // A user without a credential is not known at all.
        if is_absent(result.error_code) {
            continue;
        }
        KafkaError::check(result.error_code, result.error_message.as_deref(), asked)?;
        found.extend(result.credential_infos.iter().filter_map(|info| {
            Some(Credential {
                mechanism: by_code(info.mechanism)?,
                iterations: u32::try_from(info.iterations).ok()?,
            })
        }));
    }
    found.sort_by_key(|credential| code(credential.mechanism));
    Ok(found)
}

fn is_absent(error_code: i16) -> bool {
    ResponseError::try_from_code(error_code) == Some(ResponseError::ResourceNotFound)
}

fn set_request(
    user: &str,
    credential: Credential,
    salt: &[u8],
    password: &str,
) -> AlterUserScramCredentialsRequest {
    let salted = credential
        .mechanism
        .salted(password, salt, credential.iterations);
    AlterUserScramCredentialsRequest::default().with_upsertions(vec![
        ScramCredentialUpsertion::default()
            .with_name(text(user))
            .with_mechanism(code(credential.mechanism))
            .with_iterations(i32::try_from(credential.iterations).unwrap_or(i32::MAX))
            .with_salt(Bytes::copy_from_slice(salt))
            .with_salted_password(Bytes::from(salted)),
    ])
}

fn remove_request(user: &str, mechanism: Mechanism) -> AlterUserScramCredentialsRequest {
    AlterUserScramCredentialsRequest::default().with_deletions(vec![
        ScramCredentialDeletion::default()
            .with_name(text(user))
            .with_mechanism(code(mechanism)),
    ])
}

fn read_alter(response: &AlterUserScramCredentialsResponse, asked: &str) -> Result<(), KafkaError> {
    response.results.iter().try_for_each(|result| {
        KafkaError::check(result.error_code, result.error_message.as_deref(), asked)
    })
}

impl KafkaAdmin {
    /// The credentials of a user; none when there is no such user.
    ///
    /// # Errors
    /// [`KafkaError`] once the time of a call is up.
    pub async fn credentials(&self, user: &str) -> Result<Vec<Credential>, KafkaError> {
        let asked = format!("describe the credentials of user {user}");
        self.call(
            Target::Controller,
            &asked,
            |_| describe_request(user),
            |answer| read_credentials(answer, &asked),
        )
        .await
    }

    /// Sets a user's password for one mechanism (KIP-554). It is salted here, so brokers are never told the password.
    ///
    /// # Errors
    /// [`KafkaError`]; brokers take 4,096 to 16,384 iterations.
    pub async fn set_password(
        &self,
        user: &str,
        credential: Credential,
        password: &str,
    ) -> Result<(), KafkaError> {
        let asked = format!("set the password of user {user}");
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(|error| KafkaError::Codec {
            direction: "encode",
            asked: asked.clone(),
            problem: format!("no random numbers: {error}"),
        })?;
        let request = set_request(user, credential, &salt, password);
        self.call(
            Target::Controller,
            &asked,
            |_| request.clone(),
            |answer| read_alter(answer, &asked),
        )
        .await
    }

    /// Takes a user's password for one mechanism away. That there is none is no error. Connections that are open stay.
    ///
    /// # Errors
    /// [`KafkaError`] once the time of a call is up.
    pub async fn remove_password(
        &self,
        user: &str,
        mechanism: Mechanism,
    ) -> Result<(), KafkaError> {
        let asked = format!("remove the password of user {user}");
        let removed = self
            .call(
                Target::Controller,
                &asked,
                |_| remove_request(user, mechanism),
                |answer| read_alter(answer, &asked),
            )
            .await;
        match removed {
            Err(error) if error.code() == Some(ResponseError::ResourceNotFound) => Ok(()),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
    use kafka_protocol::messages::describe_user_scram_credentials_response::{
        CredentialInfo, DescribeUserScramCredentialsResult,
    };

    fn answer(error_code: i16, infos: &[(i8, i32)]) -> Result<Vec<Credential>, KafkaError> {
        let infos = infos.iter().map(|(mechanism, iterations)| {
            CredentialInfo::default()
                .with_mechanism(*mechanism)
                .with_iterations(*iterations)
        });
        let result = DescribeUserScramCredentialsResult::default()
            .with_error_code(error_code)
            .with_credential_infos(infos.collect());
        let response = DescribeUserScramCredentialsResponse::default().with_results(vec![result]);
        read_credentials(&response, "x")
    }

    #[test]
    fn a_user_without_a_password_is_no_error() {
        assert_eq!(answer(91, &[]).unwrap(), []);
        assert!(answer(31, &[]).is_err());
        let both = answer(0, &[(2, 8200), (1, 4096), (9, 1)]).unwrap();
        let told: Vec<_> = both.iter().map(|c| (c.mechanism, c.iterations)).collect();
        assert_eq!(told, [(Mechanism::Sha256, 4096), (Mechanism::Sha512, 8200)]);
    }

    #[test]
    fn the_password_itself_is_not_sent() {
        let credential = Credential {
            mechanism: Mechanism::Sha512,
            iterations: 4096,
        };
        let request = set_request("u", credential, &[7; SALT_BYTES], "open sesame");
        let sent = &request.upsertions[0];
        assert_eq!((sent.mechanism, sent.iterations), (2, 4096));
        assert_eq!(sent.salted_password.len(), 64);
        assert_eq!(
            sent.salted_password,
            Mechanism::Sha512.salted("open sesame", &[7; SALT_BYTES], 4096)
        );
        assert!(!format!("{request:?}").contains("sesame"));
    }

    #[test]
    fn a_refused_password_is_told() {
        let result = AlterUserScramCredentialsResult::default().with_error_code(93);
        let response = AlterUserScramCredentialsResponse::default().with_results(vec![result]);
        let error = read_alter(&response, "set the password of user u").unwrap_err();
        assert_eq!(error.code(), Some(ResponseError::UnacceptableCredential));
    }
}
