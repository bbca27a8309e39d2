//! Why an image cannot be prepared, and who has to act.

/// Who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Whoever named the image: it does not exist, is not theirs, or is refused for what it holds.
    /// Trying again changes nothing.
    User,
    /// The registry or this site: it is down, slow, or its disk is full.
    Site,
}

/// An image that cannot be prepared. The text is what the user reads: it names the image, and has
/// the registry's own words where it said any.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct PrepareError {
    /// Who has to act.
    pub blame: Blame,
    /// One line.
    pub reason: String,
}

impl PrepareError {
    /// Whoever named the image has to act.
    #[must_use]
    pub fn user(reason: impl Into<String>) -> Self {
        Self { blame: Blame::User, reason: reason.into() }
    }

    /// The site or the registry's keeper has to act.
    #[must_use]
    pub fn site(reason: impl Into<String>) -> Self {
        Self { blame: Blame::Site, reason: reason.into() }
    }

    /// The same, said of an image.
    #[must_use]
    pub fn about(self, image: &impl std::fmt::Display) -> Self {
        Self { reason: format!("{image}: {}", self.reason), ..self }
    }
}
