//! Registry credentials: the words are the protocol's, because users' commands read the same form.

pub use protocol::registry_credentials::{
    CREDENTIALS_BYTES_MAX, Credential, CredentialError, CredentialsFile,
};
