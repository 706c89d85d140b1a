//! The address of a PostgreSQL database. It may hold a password, so it is printed without one.

use std::fmt;

/// `postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?NAME=VALUE&…]`.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(String);

/// What may stand behind the question mark. Everything else is refused here, since sqlx would log it
/// with its value, and a misspelt `password` is a password.
const PARAMETERS: [&str; 8] =
    ["application_name", "dbname", "host", "hostaddr", "password", "port", "sslmode", "user"];

/// Why an address can't be used. None of these repeats any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is of another kind.
    #[error("--database has to be postgres://USER@HOST/DATABASE; without it, SQLite is used")]
    Scheme,
    /// A password that is cut in two at a `/`, `?` or `#`, most likely.
    #[error(
        "--database can't be understood; write special characters of the password as %XX (%2F for /), \
         or give the password in PGPASSWORD"
    )]
    Characters,
    /// A parameter that is not known.
    #[error("--database has a parameter that is not known; known are {}", PARAMETERS.join(", "))]
    Parameter,
}

impl PostgresUrl {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        let rest = rest.ok_or(UrlError::Scheme)?;
        let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        let odd = |text: &str, characters: &[char]| text.contains(characters);
        if odd(text, &['#', ' ']) || odd(database, &['@', '/', ':']) || odd(parameters, &['@']) {
            return Err(UrlError::Characters);
        }
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        if odd(user, &['@']) || odd(host, &['@']) {
            return Err(UrlError::Characters);
        }
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
            if !PARAMETERS.contains(&name) {
                return Err(UrlError::Parameter);
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The whole of it, with the password.
    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let place = rest.split_once('?').map_or(rest, |(place, _)| place);
        let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
        write!(f, "postgres://{host}")
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_printed_without_its_password() {
        let rows = [
            ("postgres://skiff:SECRET@db:5433/skiff", "postgres://db:5433/skiff"),
            ("postgresql://skiff@db/skiff?password=SECRET", "postgres://db/skiff"),
            ("postgres:///skiff?host=/run/postgresql", "postgres:///skiff"),
            ("postgres://skiff:SECRET%2F%40@[::1]", "postgres://[::1]"),
        ];
        for (text, expected) in rows {
            let url = PostgresUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), expected);
            assert_eq!(format!("{url:?}"), format!("PostgresUrl({expected})"));
        }
    }

    #[test]
    fn a_wrong_address_is_refused_and_not_repeated() {
        let rows = [
            ("mysql://skiff:SECRET@db/skiff", UrlError::Scheme),
            ("SECRET", UrlError::Scheme),
            ("postgres://skiff:SE/CRET@db/skiff", UrlError::Characters),
            ("postgres://skiff:12/SECRET@db/skiff", UrlError::Characters),
            ("postgres://skiff:SE?CRET@db/skiff", UrlError::Characters),
            ("postgres://skiff:SE#CRET@db/skiff", UrlError::Characters),
            ("postgres://skiff:SE@CRET@db/skiff", UrlError::Characters),
            ("postgres://skiff@db/skiff?pasword=SECRET", UrlError::Parameter),
        ];
        for (text, expected) in rows {
            let error = PostgresUrl::parse(text).unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("SECRET"));
        }
    }
}
