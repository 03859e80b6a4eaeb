//! Ids: 32 random bytes, written as 64 lower-case hex digits, as podman and docker do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not an id, or an id could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// The text is not 64 lower-case hex digits.
    #[error("{0:?} is not an id: 64 lower-case hex digits are needed")]
    Malformed(String),
    /// The kernel gave no random bytes.
    #[error("no random bytes for a new id")]
    Random(#[source] getrandom::Error),
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Makes a new id from the kernel's random number generator.
            ///
            /// # Errors
            /// [`IdError::Random`] when the kernel has no random bytes to give.
            pub fn random() -> Result<Self, IdError> {
                use fmt::Write as _;
                let mut bytes = [0_u8; 32];
                getrandom::fill(&mut bytes).map_err(IdError::Random)?;
                let mut text = String::with_capacity(64);
                for byte in bytes {
                    // Writing to a String cannot fail.
                    let _infallible = write!(text, "{byte:02x}");
                }
                Ok(Self(text))
            }

            /// The 64 hex digits.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The first twelve digits, the form people see in lists.
            pub fn short(&self) -> &str {
                self.0.get(..12).unwrap_or(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::try_from(text.to_owned())
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                if text.len() == 64 && text.bytes().all(hex) {
                    Ok(Self(text))
                } else {
                    Err(IdError::Malformed(text.chars().take(80).collect()))
                }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

id_type! {
    /// A container's id. Every resource name of the container is a function of it.
    ContainerId
}
id_type! {
    /// The id of one operation in the journal (a create, a start, an import …).
    OpId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_parse_and_differ() {
        let (a, b) = (
            ContainerId::random().unwrap(),
            ContainerId::random().unwrap(),
        );
        assert_ne!(a, b);
        assert_eq!(a.as_str().parse::<ContainerId>().unwrap(), a);
        assert_eq!(a.short().len(), 12);
    }

    #[test]
    fn only_64_lower_case_hex_digits_are_an_id() {
        for bad in [
            "",
            "abc",
            &"A".repeat(64),
            &"g".repeat(64),
            &"a".repeat(65),
            "../../etc",
        ] {
            assert!(bad.parse::<OpId>().is_err(), "{bad:?}");
        }
    }
}
