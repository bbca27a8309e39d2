//! The only place that picks a status code.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::error::{ApiError, ErrorKind};

/// A refused request.
#[derive(Debug)]
pub(super) struct Refused(pub(super) ApiError);

/// What handlers return.
pub(super) type Answer<T> = Result<T, Refused>;

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let status = match error.kind {
            ErrorKind::User => StatusCode::BAD_REQUEST,
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::Busy => StatusCode::CONFLICT,
            ErrorKind::Site => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        match error.kind {
            ErrorKind::User | ErrorKind::Forbidden | ErrorKind::Busy => {
                log::info!("refused: {error}");
            }
            ErrorKind::Site => log::warn!("refused: {error}"),
            ErrorKind::Internal => log::error!("refused: {error}"),
        }
        (status, Json(error)).into_response()
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<crate::store::StoreError> for Refused {
    fn from(error: crate::store::StoreError) -> Self {
        Self(ApiError::new(ErrorKind::Internal, crate::chain(&error)))
    }
}

/// Refuses with that kind and text.
pub(super) fn refuse(kind: ErrorKind, message: impl Into<String>) -> Refused {
    Refused(ApiError::new(kind, message))
}

/// A name from a URL.
pub(super) fn parse<T: std::str::FromStr>(text: &str) -> Answer<T>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| refuse(ErrorKind::User, error.to_string()))
}

/// Runs what waits for disks and for the hub's locks: never on a thread that other requests need.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Answer<T> + Send + 'static,
) -> Answer<T> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|error| refuse(ErrorKind::Internal, error.to_string()))?
}
