//! One query for two databases.

/// Runs a query on whichever database it is; `$pool` names its pool in the query.
macro_rules! either {
    ($store:ident, |$pool:ident| $query:expr) => {
        match &$store.pool {
            Pool::Sqlite($pool) => $query,
            Pool::Postgres($pool) => $query,
        }
        .map_err(StoreError::query)
    };
}
